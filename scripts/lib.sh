# shellcheck shell=bash
# What the scripts share: makes sure that everything they need is there. Sourced by scripts and .ci/run.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# Ordinary users' PATH on Debian is without the folders of mke2fs.
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# The npm packages, as package-lock.json has them. Among them is the Node that everything runs on.
ensure_npm() {
  local installed=$root/node_modules/.package-lock.json
  if [[ ! -e $installed || $root/package-lock.json -nt $installed ]]; then
    has npm || die 'npm is missing: install Node.js (any version that has npm 9 or newer), then run this again.'
    say '==> npm ci'
    (cd -- "$root" && npm ci --no-audit --no-fund --loglevel=error >&2) ||
      die 'npm ci failed; its messages stand above.'
  fi
  [[ -x $root/node_modules/.bin/node ]] || has_node_24 ||
    die 'Node.js 24 is missing: npm ci brings it on Linux for x64 and arm64; elsewhere install it yourself.'
}

has_node_24() { has node && (($(node -p 'process.versions.node.split(".")[0]') >= 24)); }

# The programs npm cannot bring. Redis and OpenStack's clients are welcome but not needed: without them the tests use Valkey as
# WASM, and say how many they skipped. The demo needs neither.
ensure_tools() {
  local needed=() wanted=()
  has qemu-img || needed+=(qemu-utils)
  has mke2fs || needed+=(e2fsprogs)
  if [[ ${1:-} == for_tests ]]; then
    has xz || needed+=(xz-utils)
    has curl || needed+=(curl)
    has redis-server || [[ -n ${REDIS_URL:-} ]] || wanted+=(redis-server)
    [[ -x /usr/bin/glance ]] || wanted+=(python3-glanceclient)
    [[ -x /usr/bin/openstack ]] || wanted+=(python3-openstackclient)
    [[ -e /usr/lib/python3/dist-packages/openstack/__init__.py ]] || wanted+=(python3-openstacksdk)
  fi

  if ((${#needed[@]} + ${#wanted[@]} > 0)); then
    apt_install "${needed[@]}" "${wanted[@]}" || ((${#needed[@]} == 0)) || apt_install "${needed[@]}" || true
  fi
  has qemu-img || die "qemu-img is missing: install it (Debian, Ubuntu: sudo apt-get install qemu-utils), then run this again."
  has mke2fs || die "mke2fs is missing: install it (Debian, Ubuntu: sudo apt-get install e2fsprogs), then run this again."
}

# The real servers that the tests export to: Swift, Keystone, Ceph's RGW, nginx, OpenSSH and the like. They are welcome but not
# needed: the tests say how many they skipped for want of which. None of them is started by its installation.
ensure_peers() {
  local missing=() packages line
  mapfile -t missing < <(PATH=$root/node_modules/.bin:$PATH node "$root/test/peers/missing-packages.ts" || true)
  mapfile -t packages < <(printf '%s\n' "${missing[@]}" | tr ' ' '\n' | sort -u | sed '/^$/d')
  ((${#packages[@]} > 0)) || return 0
  apt_install "${packages[@]}" && return 0
  # Perhaps only one of them is not to be had.
  ((${#missing[@]} > 1)) && has apt-get || return 0
  for line in "${missing[@]}"; do
    # shellcheck disable=SC2086 # a line is a list
    [[ -z $line ]] || apt_install $line || true
  done
}

# File systems and partition tables made by others, for the tests of what reads them, and the jail in which their own tools
# run; skipped with a reason where they miss.
ensure_disk_tools() {
  local needed=()
  has bwrap || needed+=(bubblewrap)
  has mkfs.fat || needed+=(dosfstools)
  has mcopy || needed+=(mtools)
  has sgdisk || needed+=(gdisk)
  has sfdisk || needed+=(fdisk)
  has parted || needed+=(parted)
  ((${#needed[@]} == 0)) || apt_install "${needed[@]}" || true
}

# What scrubs guests that only a kernel can read, and what its tests make such guests with; about 120 MB with a kernel of
# Debian's for the machine in it. Asked for by the tests; skipped with a reason where it misses.
ensure_appliance() {
  local needed=()
  has guestfish || needed+=(guestfish)
  compgen -G '/usr/lib*/*/guestfs/supermin.d/packages-xfs' >/dev/null || needed+=(libguestfs-xfs)
  compgen -G '/boot/vmlinuz-*' >/dev/null || needed+=("linux-image-cloud-$(dpkg --print-architecture 2>/dev/null || true)")
  has mkfs.xfs || needed+=(xfsprogs)
  has nbdcopy || needed+=(libnbd-bin)
  has jq || needed+=(jq)
  has mmdebstrap || needed+=(mmdebstrap)
  has qemu-system-x86_64 || needed+=(qemu-system-x86)
  ((${#needed[@]} == 0)) || apt_install "${needed[@]}" || true
}

# Installs packages quietly, without starting their services. Fails where that is not possible.
apt_install() {
  local as_root=()
  has apt-get || return 1
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || return 1
    as_root=(sudo -n)
  fi
  say "==> apt-get install $*"
  "${as_root[@]}" bash -s -- "$@" >&2 <<'AS_ROOT'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Debian asks this program before it starts a service; 101 means no.
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
  trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
fi

apt() { apt-get -o DPkg::Lock::Timeout=120 "$@" </dev/null >"$log" 2>&1; }
get() { apt install --yes --no-install-recommends "$@"; }

# The lists of packages may be missing or old: then they are fetched, and it is tried once more.
get "$@" || { apt update && get "$@"; } || {
  tail -n 5 "$log"
  exit 1
}
AS_ROOT
}

version_of() { "$@" 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }
