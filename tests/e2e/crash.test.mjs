// Kill -9 in the middle of a call, and a daemon that goes away under an open page.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { chromiumWindow, launchChromium, settle } from './lib/browsers.mjs'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { isHeard } from './lib/sound.mjs'

let browser
before(async () => { browser = await launchChromium() })
after(async () => { await browser.close() })

test('a killed daemon wakes up to the truth, and the call is taken up again', async () => {
  const ann = await startDaemon({ mic: 'tone:440' })
  const bob = await startDaemon({ mic: 'tone:600', args: ['--auto-answer', 'contacts'] })
  await introduce(ann, bob)
  const annSees = await chromiumWindow(browser)
  await settle(annSees, ann, 'Ann')
  const { call } = (await ann.json('me'), await callFrom(ann, bob))
  await until('Bob hears Ann', () => isHeard(bob.recording, 440))

  await bob.kill()
  await ann.event('reconnecting')
  await annSees.sees('.phase', 'Reconnecting')
  const back = await startDaemon({ mic: 'tone:600', folder: bob.folder })
  const open = (await back.json('calls')).calls
  assert.deepEqual(open.map((each) => [each.id, each.state]), [[call, 'interrupted']])
  const bobSees = await chromiumWindow(browser)
  await bobSees.goto(await back.link())
  await bobSees.sees('.outcome', 'Ahoy stopped during this call')
  await bobSees.click('button', 'Rejoin')
  await until('both talk again', () => isHeard(back.recording, 440) && isHeard(ann.recording, 600))

  // The daemon goes away under the page: it says so. Bob's side looks for her for a minute (a simulated test holds it
  // to the minute); he does not wait.
  await ann.kill()
  await annSees.sees('.gone', "isn't running")
  await until('Bob looks for Ann', () => back.events().at(-1)?.event === 'reconnecting' || back.events().findLast((each) => each.event !== 'rate')?.event === 'reconnecting')
  assert.equal((await back.cli('hangup')).status, 0)
  await back.event('ended')
  await Promise.all([annSees.close(), bobSees.close()])
  await back.stop()
  for (const daemon of [ann, bob]) rmSync(daemon.folder, { recursive: true, force: true })
})

/** Rings from the command line and waits until the two talk. */
async function callFrom(ann, bob) {
  const { peer_id } = await bob.json('me')
  void ann.cli('call', peer_id)
  const event = await ann.event('active')
  return { call: event.call }
}
