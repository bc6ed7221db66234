// What the page does with what it hears: pure, no browser.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cardIn, matches, meter, missedCount, peopleRows, ringingCall, stageCall, wantsLevels, wantsMonitor } from '../static/app/derive.js'
import { hrefOf, routeOf } from '../static/app/go.js'
import { parseMessage } from '../static/app/protocol.js'
import { initial, update } from '../static/app/state.js'
import { golden } from './mock-server.mjs'

const open = update(initial, { type: 'link', link: 'open' })
const see = (state, ...names) => names.reduce((now, name) => update(now, { type: 'view', view: golden(name), now_ms: 0 }), state)

test('a call opens its stage, and a ringing one only its card', () => {
  assert.equal(stageCall(see(open, 'home')), null)
  assert.equal(stageCall(see(open, 'outgoing-calling'))?.state, 'calling')
  const ringing = see(open, 'home', 'incoming')
  assert.equal(stageCall(ringing), null)
  assert.equal(ringingCall(ringing)?.state, 'ringing_in')
  assert.equal(stageCall(see(open, 'incoming', 'active'))?.state, 'active')
})

test('a call that this person ended leaves the stage, one that the other ended stays', () => {
  assert.equal(stageCall(see(open, 'active', 'ended-hangup_local')), null)
  assert.equal(stageCall(see(open, 'ringing', 'ended-cancelled')), null)
  assert.equal(stageCall(see(open, 'active', 'ended-hangup_remote'))?.ended?.reason, 'hangup_remote')
  assert.equal(stageCall(see(open, 'ringing', 'ended-declined'))?.ended?.reason, 'declined')
})

test('a lost link keeps the view and takes the levels', () => {
  const lost = update(see(open, 'active'), { type: 'link', link: 'lost' })
  assert.equal(lost.view?.calls.length, 1)
  assert.equal(lost.levels, null)
  assert.equal(lost.say.assertive, 'say.daemon_gone')
})

test('the first run is for a device without a name and stays until its last step', () => {
  const first = see(open, 'first-run')
  assert.equal(first.first, 'name')
  const sent = update(first, { type: 'sent', id: '1', command: { do: 'set_name', name: 'Ann' } })
  assert.equal(sent.first, 'name', 'a name that may be lost is not passed over')
  assert.equal(update(sent, { type: 'reply', id: '1', ok: true }).first, 'sound')
  const refused = { what: 'no', works: '', do: '' }
  assert.equal(update(sent, { type: 'reply', id: '1', ok: false, error: refused }).first, 'name')
  assert.equal(see(update(first, { type: 'first', step: 'sound' }), 'home').first, 'sound')
  assert.equal(see(open, 'home').first, null)
})

test('changes are said once, the urgent ones at once', () => {
  assert.match(see(open, 'home', 'incoming').say.assertive, /^say\.incoming\|Mira/)
  const talking = see(open, 'home', 'ringing', 'active')
  assert.deepEqual(talking.say.polite.map((said) => said.split('|')[0]), ['say.ringing', 'say.connected'])
  assert.deepEqual(update(talking, { type: 'said', polite: 2 }).say.polite, [])
})

test('who records is said on both sides, and where the file lies stays on the page', () => {
  const both = see(open, 'home', 'active', 'recording')
  assert.deepEqual(both.say.polite.map((said) => said.split('|')[0]).slice(-2), ['say.records', 'say.recorded'])
  const over = update(both, { type: 'view', view: golden('active'), now_ms: 0 })
  assert.deepEqual(over.say.polite.map((said) => said.split('|')[0]).slice(-2), ['say.records-no', 'say.recorded-no'])
  assert.match(over.toasts[0]?.works ?? '', /Mira Okafor\.webm$/)
  assert.equal(see(both, 'active').toasts.length, 1, 'once')
})

test('a refusal is shown in the dialog that asked, or as a toast', () => {
  const error = { what: 'No.', works: 'All else.', do: 'Wait.' }
  const asked = update(update(open, { type: 'dialog', dialog: { kind: 'add', card: '' } }), { type: 'sent', id: 'a', command: { do: 'add_contact', card: 'x' } })
  assert.equal(update(asked, { type: 'reply', id: 'a', ok: false, error }).problem?.problem.what, 'No.')
  const plain = update(update(open, { type: 'sent', id: 'b', command: { do: 'test_sound' } }), { type: 'reply', id: 'b', ok: false, error })
  assert.equal(plain.toasts[0]?.text, 'No.')
  assert.equal(update(open, { type: 'reply', id: 'unknown', ok: false, error }), open)
})

test('levels are asked for while they are seen', () => {
  assert.equal(wantsLevels(see(open, 'active')), true)
  assert.equal(wantsLevels(see(open, 'home')), false)
  const settings = update(see(open, 'home'), { type: 'route', route: { page: 'settings', peer: null, section: 'devices' } })
  assert.equal(wantsMonitor(settings), true)
  assert.deepEqual([meter(0), meter(-60), meter(-200), meter(-30), meter(undefined)], [1, 0, 0, 0.5, 0])
})

test('people are found by parts of their names, with and without accents; a card by its look', () => {
  assert.ok(matches('Mira Okafor', 'oka mi') && matches('José', 'jose') && !matches('Mira', 'x'))
  assert.equal(peopleRows(golden('home'), 'mira').length, 1)
  const card = 'ahoy:c/' + 'Ab_-9'.repeat(12)
  assert.equal(cardIn(`here: ${card} bye`), card)
  assert.equal(cardIn('ahoy:c/short'), null)
  assert.ok(missedCount(see(open, 'home')) > 0)
})

test('addresses lead back to their routes, and nonsense to the people', () => {
  for (const route of [{ page: 'people', peer: '12D3', section: null }, { page: 'calls', peer: null, section: null }, { page: 'settings', peer: null, section: 'devices' }]) {
    assert.deepEqual(routeOf(hrefOf(route)), route)
  }
  assert.equal(routeOf('#/../x').page, 'people')
})

test('messages that are none are dropped', () => {
  for (const data of ['', '{', '7', 'null', '{"type":"view"}', '{"type":"later"}', '{"type":"reply","id":1}', new Blob()]) assert.equal(parseMessage(data), null)
  assert.equal(parseMessage(JSON.stringify({ type: 'view', view: golden('home') }))?.type, 'view')
})
