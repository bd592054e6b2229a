/** What a caller may see of `images`; `$1` is the caller's project, `$2` whether the caller is an admin. */
export const VISIBLE = `(owner = $1 or visibility = 'public' or $2)`
