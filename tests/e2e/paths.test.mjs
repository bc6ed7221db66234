// The fixed part of the matrix: a few pairs of networks, each with its path, and what happens under a running call. All
// of it: `cargo xtask matrix`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { impossible } from './lib/lab.mjs'
import { happens, hidden, pair, special } from './lib/matrix.mjs'

const why = impossible()
if (why) console.log(`# networks are not tested: ${why}`)
const skip = why ?? false

for (const [one, other] of [['open', 'port'], ['port', 'port'], ['address', 'symmetric'], ['symmetric', 'symmetric'], ['double', 'carrier']]) {
  test(`${one} and ${other} talk, directly if they can`, { skip }, async (t) => {
    const { kind, first, dialled } = await pair(one, other, 'ahoy-p')
    t.diagnostic(`${kind}, first ${first}, ${Math.round(dialled)} ms from dial to sound`)
  })
}

test('a router that is asked for ports makes a direct call of two symmetric boxes', { skip }, async (t) => {
  const { dialled } = await special('symmetric box that is asked for ports', 'ahoy-p')
  t.diagnostic(`${Math.round(dialled)} ms from dial to sound`)
})

test('whom an address is hidden from is sent nothing straight in a whole call', { skip }, async () => {
  assert.equal(await hidden('ahoy-p'), 0)
})

for (const name of ['cable out, another path stands', 'address renumbered', 'mapping forgotten, nothing stands by']) {
  test(`a call goes on: ${name}`, { skip }, async (t) => {
    t.diagnostic(`${await happens(name, 'ahoy-p')} ms without sound`)
  })
}
