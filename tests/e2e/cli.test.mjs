// The command line as scripts use it: statuses, JSON, and three sentences on standard error.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { introduce, startDaemon, until } from './lib/daemon.mjs'

let ann
let bob
before(async () => {
  [ann, bob] = await Promise.all([startDaemon({ mic: 'tone:440' }), startDaemon({ mic: 'tone:600' })])
  await introduce(ann, bob)
})
after(async () => { await Promise.all([ann.stop(), bob.stop()]) })

test('me, contacts, devices, config and doctor speak JSON', async () => {
  const me = await ann.json('me')
  assert.deepEqual(Object.keys(me).sort(), ['addresses', 'card', 'name', 'peer_id'])
  assert.match(me.card, /^ahoy:c\//)
  assert.ok(me.addresses.every((address) => address.endsWith(`/p2p/${me.peer_id}`)))
  const names = (await ann.json('contacts')).contacts.map((each) => each.name)
  assert.ok(names.includes('Echo'), names.join())
  assert.equal((await ann.json('devices')).microphone.id, 'tone:440')
  const config = await ann.json('config')
  assert.ok(config.values.some((each) => each.key === 'mdns'))
  assert.ok((await ann.json('doctor', '--no-call')).every((check) => check.state === 'good' || check.do))
  assert.match((await ann.cli('me', '--qr')).stdout, /[█▀▄]/)
  assert.equal(statSync(ann.folder).mode & 0o777, 0o700)
})

test('a call is rung, answered, held, resumed, muted and hung up by commands', async () => {
  const ringing = ann.cli('call', (await bob.json('me')).peer_id, '--json')
  await bob.event('incoming')
  assert.equal((await bob.cli('answer')).status, 0)
  await Promise.all([ann.event('active'), bob.event('active')])
  for (const command of ['hold', 'resume', 'mute', 'unmute']) assert.equal((await ann.cli(command)).status, 0, command)
  assert.equal((await bob.json('calls')).calls[0].state, 'active')
  assert.equal((await bob.cli('hangup')).status, 0)
  const call = await ringing
  assert.equal(call.status, 0)
  const events = call.stdout.trim().split('\n').map((line) => JSON.parse(line).event)
  for (const event of ['dial', 'ringing', 'accepted', 'active', 'held', 'ended']) assert.ok(events.includes(event), `${event} in ${events}`)
})

test('a declined call is a failure with the words of the other', async () => {
  const from = bob.events().length
  const ringing = ann.cli('call', (await bob.json('me')).peer_id)
  await bob.event('incoming', from)
  assert.equal((await bob.cli('decline', '--message', 'In a meeting')).status, 0)
  const call = await ringing
  assert.equal(call.status, 1)
  assert.match(call.stderr, /^ahoy: .*In a meeting|declined/i)
  assert.equal(call.stderr.trim().split('\n').length, 1)
})

test('what is wrong says what happened, what still works and what to do', async () => {
  for (const [words, status, what] of [
    [['call', 'Nobody'], 1, /Nobody here is called/],
    [['contacts', 'add', 'ahoy:c/AAAA'], 1, /card/],
    [['hangup'], 1, /./],
    [['call', '/ip4/127.0.0.1/tcp/1'], 1, /p2p/],
    [['fly'], 2, /unrecognized/],
    [['send', 'Bob', 'hi'], 2, /no send yet/],
  ]) {
    const done = await ann.cli(...words)
    assert.equal(done.status, status, `${words}: ${done.stderr}`)
    assert.match(done.stderr, what)
  }
})

test('it stops within two seconds, and commands then say that nothing runs', async () => {
  const daemon = await startDaemon()
  const start = Date.now()
  daemon.child.kill('SIGTERM')
  assert.deepEqual(await daemon.exited, { code: 0, signal: null })
  assert.ok(Date.now() - start < 10_000)
  const done = await daemon.cli('me')
  assert.equal(done.status, 1)
  assert.match(done.stderr, /not running/)
  await until('gone', () => true)
})
