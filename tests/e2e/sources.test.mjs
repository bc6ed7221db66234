// What is said when a source of pictures can't be had: in words, while the call goes on.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromiumWindow, launchChromium, settle } from './lib/browsers.mjs'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { isHeard } from './lib/sound.mjs'

let browser
before(async () => { browser = await launchChromium() })
after(async () => { await browser.close() })

async function talking(anns, bobs) {
  const [ann, bob] = await Promise.all([startDaemon({ mic: 'tone:440', ...anns }), startDaemon({ mic: 'tone:600', args: ['--auto-answer', 'all'], ...bobs })])
  const annSees = await chromiumWindow(browser)
  await settle(annSees, ann, 'Ann')
  await introduce(ann, bob)
  await until('Bob is there', async () => (await ann.json('contacts')).some?.((each) => each.presence === 'online') ?? true)
  return { ann, bob, annSees }
}

test('a camera that is not there, and a desktop without sharing, are said in words; the call goes on', async () => {
  const { ann, bob, annSees } = await talking({ args: ['--camera', 'no-such-camera'] }, {})
  await annSees.eval((id) => { location.hash = '#/people/' + id }, (await bob.json('me')).peer_id)
  await annSees.click('button', 'Video call')
  await annSees.sees('.ttl time')
  await annSees.sees('.caption', 'Camera')
  const { camera } = (await ann.json('devices'))
  assert.equal(camera.state, 'missing')
  assert.match(camera.message, /\w+.*\.$/)
  await until('Bob hears Ann all the same', () => isHeard(bob.recording, 440))
  await annSees.picture('s2-no-camera')
  await annSees.press('s')
  await annSees.sees('.pop', '')
  await annSees.picture('s3-share-menu')
  await annSees.close()
  await Promise.all([ann.stop(), bob.stop()])
})
