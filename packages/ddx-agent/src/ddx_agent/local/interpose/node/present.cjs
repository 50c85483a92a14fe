// Makes the files named in DDX_PRESENT_FILES appear to exist, for this Node.js process only.
// Used where a private mount namespace is refused; Node.js loads it because NODE_OPTIONS says so.
'use strict'

const fs = require('node:fs')

const present = new Set((process.env.DDX_PRESENT_FILES || '').split(':').filter(Boolean))
const shown = (path) => (present.has(String(path)) ? __filename : path)

for (const name of ['existsSync', 'statSync', 'lstatSync', 'accessSync', 'stat', 'lstat', 'access', 'exists']) {
  const original = fs[name]
  fs[name] = function (path, ...rest) {
    return original.call(this, shown(path), ...rest)
  }
  Object.assign(fs[name], original)
}
for (const name of ['stat', 'lstat', 'access']) {
  const original = fs.promises[name]
  fs.promises[name] = function (path, ...rest) {
    return original.call(this, shown(path), ...rest)
  }
}
