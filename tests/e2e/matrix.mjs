// All of the matrix, or the cells that are named: `node matrix.mjs [CELL…]`, a cell being `open,port`, `same box`, or
// `asleep for ten seconds`. Prints a line a cell and the figures of all; fails if one does.
import { impossible, SITES } from './lib/lab.mjs'
import { EVENTS, happens, pair, SPECIAL, special } from './lib/matrix.mjs'

const why = impossible()
if (why) {
  console.log(`the matrix is left out: ${why}`)
  process.exit(0)
}
const sites = Object.keys(SITES)
const pairs = sites.flatMap((one, n) => sites.slice(n).map((other) => `${one},${other}`))
const all = [...pairs, ...Object.keys(SPECIAL), ...Object.keys(EVENTS)]
const wanted = process.argv.length > 2 ? process.argv.slice(2) : all
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`no such cell: ${unknown.join(' | ')}\nthere are: ${all.join(' | ')}`)
  process.exit(2)
}
const failed = []
const times = []
for (const name of wanted) {
  const prefix = 'ahoy-m'
  try {
    if (name in EVENTS) {
      console.log(`${name.padEnd(40)} ${await happens(name, prefix)} ms without sound (at most ${EVENTS[name].gap})`)
      continue
    }
    const { kind, first, dialled } = name in SPECIAL ? await special(name, prefix) : await pair(...name.split(','), prefix)
    times.push(dialled)
    console.log(`${name.padEnd(40)} ${kind.padEnd(8)} first ${first.padEnd(16)} ${Math.round(dialled)} ms from dial to sound`)
  } catch (error) {
    failed.push(name)
    console.log(`${name.padEnd(40)} FAILED: ${error.message.split('\n')[0]}`)
  }
}
if (times.length > 0) {
  times.sort((a, b) => a - b)
  const at = (share) => Math.round(times[Math.min(times.length - 1, Math.floor(share * times.length))])
  console.log(`dial to first sound: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, ${times.length} calls`)
}
if (failed.length > 0) {
  console.error(`failed: ${failed.join(' | ')}`)
  process.exit(1)
}
