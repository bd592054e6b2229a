#!/bin/sh
# Becomes the PostgreSQL server of one cluster. Run under the lock of its data folder, as the server's account.
# Arguments: pid of the service, folder of the binaries, cluster, folder of the socket, then settings as name=value.
set -eu
service=$1 bin=$2 cluster=$3 socket=$4
shift 4

# The service may have died before setpriv asked to be told of its death.
[ "$PPID" = "$service" ] || exit 1

umask 077

# Made aside and moved into place whole, so that a crash half-way leaves nothing that looks like a cluster.
if [ ! -d "$cluster" ]; then
  rm -rf "$cluster.new"
  "$bin/initdb" --pgdata="$cluster.new" --username=glance_export --auth=trust --encoding=UTF8 --no-locale \
    --locale-provider=builtin --builtin-locale=C.UTF-8 --no-instructions
  mv "$cluster.new" "$cluster"
fi

# We hold the lock, so no server runs here and these are left from a crash. A new process may have got the pid
# that they name, and PostgreSQL would then refuse to start.
rm -f "$cluster/postmaster.pid" "$cluster"/.s.PGSQL.*

for setting in "$@"; do
  set -- "$@" -c "$setting"
  shift
done
exec "$bin/postgres" -D "$cluster" -k "$socket" "$@"
