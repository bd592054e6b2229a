// Plain JavaScript, so that a Node.js that cannot run TypeScript can say so.
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write('Node.js 24 is needed: run `npm ci` first, which brings it, then this again.\n')
  process.exit(1)
}
