// The first call of a newcomer: Echo says back what it hears, a second later, through the whole stack.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chromiumWindow, launchChromium, settle } from './lib/browsers.mjs'
import { startDaemon, until } from './lib/daemon.mjs'
import { tone } from './lib/sound.mjs'

test('a newcomer types a name, rings Echo and hears themselves a second later', async () => {
  const daemon = await startDaemon({ mic: 'tone:700' })
  const browser = await launchChromium()
  const window = await chromiumWindow(browser)
  await settle(window, daemon, 'Nora')
  await window.click('.rows a', 'Echo')
  await window.sees('.chx h2', 'Echo')
  await window.click('button', 'Voice call Echo')
  await window.sees('.ttl time')
  await window.sees('.phase', 'a second later')
  await until('Nora hears herself', () => tone(daemon.recording, 700).filter((strength) => strength > 0.1).length > 10)
  const heard = tone(daemon.recording, 700)
  const first = heard.findIndex((strength) => strength > 0.1)
  assert.ok(first >= 9 && first <= 30, `the echo began after ${first} tenths of a second`)
  await window.sees('.lock', 'Direct')
  await window.click('.brr button', 'Connection')
  await window.sees('.facts dd', 'this computer')
  await window.picture('echo')
  await window.click('.pop button', 'Close')

  const stats = await daemon.json('stats')
  const [peer] = stats.calls[0].peers
  assert.equal(peer.path.kind, 'direct')
  assert.equal(peer.loss.after_repair, 0)
  assert.ok(stats.daemon.resident_bytes > 1e6)
  // What the test call found is said in words, in the call and after it, and by the command line and the trace.
  await window.sees('.echo-test .verdict', 'Your sound works')
  await window.click('button', 'Leave call')
  await window.sees('.echo-test .verdict', 'Your sound works')
  await window.sees('.outcome', 'You hung up')
  const told = await daemon.event('echo_test')
  assert.deepEqual(told.faults, [])
  assert.ok(told.speech_dbfs > -20 && told.returned_dbfs > -40, JSON.stringify(told))
  await window.click('button', 'Close')
  await window.sees('.ev', 'Voice call')
  assert.deepEqual(window.errors, [])
  await browser.close()
  assert.equal((await daemon.stop()).code, 0)
})

test('the doctor calls Echo and says what is wrong with the sound', async () => {
  const daemon = await startDaemon({ mic: 'null' })
  const checks = await daemon.json('doctor')
  assert.ok(checks.every((check) => check.state === 'good' || check.do))
  const { figures } = checks.find((check) => check.id === 'echo_test')
  assert.deepEqual(figures.faults.map((fault) => fault.code), ['muted_at_device'])
  assert.equal(checks.find((check) => check.id === 'muted_at_device').state, 'broken')
  assert.deepEqual((await daemon.json('calls')).calls, [])
  assert.equal((await daemon.stop()).code, 0)
})
