/** Why files are left as they are, as reports say it. */
export const LEFT = {
  fat: 'files on FAT are not changed',
  unchanged: 'files on a file system of its kind are not changed',
  unmounted: "the guest's fstab does not mount it",
  volume: "the guest's fstab does not mount a volume that lies in it",
  subvolume: "the guest's fstab does not mount a subvolume of it"
} as const
