// Pictures: two people see each other and a shared screen, in Chromium and Firefox, judged by the pixels that are drawn.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromiumWindow, firefoxWindow, launchChromium, settle } from './lib/browsers.mjs'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { card } from './lib/pixels.mjs'
import { isHeard } from './lib/sound.mjs'

const COLOURS = ['red', 'green', 'blue', 'yellow']
const THEIRS = '.main-tile canvas.pic'
const MINE = '.self canvas.pic'
const SHARE = '.share-pic canvas.pic'

let browser
before(async () => { browser = await launchChromium(['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream']) })
after(async () => { await browser.close() })

/** Two daemons that know each other, each with a window on it. */
async function two(bobsWindow, options = {}) {
  const [ann, bob] = await Promise.all([
    startDaemon({ mic: 'tone:440', args: ['--camera', 'testcard:640x360@30', ...(options.ann ?? [])] }),
    startDaemon({ mic: 'tone:600', args: ['--camera', 'testcard:640x360@30', ...(options.bob ?? [])] }),
  ])
  const [annSees, bobSees] = await Promise.all([chromiumWindow(browser), bobsWindow()])
  await Promise.all([settle(annSees, ann, 'Ann'), settle(bobSees, bob, 'Bob')])
  await introduce(ann, bob)
  await annSees.sees('.row .rn', 'Bob')
  const bobs = (await bob.json('me')).peer_id
  await annSees.eval((id) => { location.hash = '#/people/' + id }, bobs)
  await annSees.sees('.chx p', 'Online')
  return { ann, bob, annSees, bobSees, end: async () => {
    assert.deepEqual([annSees.errors, bobSees.errors], [[], []])
    await Promise.all([annSees.close(), bobSees.close()])
    const stopped = await Promise.all([ann.stop(), bob.stop()])
    assert.deepEqual(stopped.map((each) => each.code), [0, 0])
  } }
}

/**
 * Between looks at a canvas. The worker of Firefox (153 ESR) stops for good in a third of calls when the canvas that it draws on is read
 * each 50 ms; never of 14 when it is read each 500 ms, nor of 8 when nobody reads it.
 */
const LOOK_MS = 500

/** Waits until a tile shows the moving test card, in its colours, and goes on to show later pictures of it. */
async function moves(window, selector) {
  const first = await until(`${window.name}: a picture in ${selector}`, () => card(window, selector), 30, LOOK_MS)
  const later = await until(`${window.name}: ${selector} moves on from ${first.number}`, async () => {
    const now = await card(window, selector)
    return now && (now.number - first.number + 4096) % 4096 > 15 && now
  }, 30, LOOK_MS)
  assert.deepEqual(later.colours, COLOURS, `${window.name}: ${selector}`)
  return later
}

test('two people see each other, one in Chromium and one in Firefox', async () => {
  const { ann, bob, annSees, bobSees, end } = await two(firefoxWindow, { ann: ['--screen', 'testcard:1280x720@10'] })
  await annSees.click('button', 'Video call Bob')
  await bobSees.sees('[role=alertdialog]', '')
  await bobSees.sees('#ring-kind', 'Incoming video call')
  await Promise.all([annSees.picture('v1-ringing'), bobSees.picture('v1-incoming')])
  assert.ok(!bob.events().some((each) => each.event === 'camera_start'), 'nothing of Bob is captured before he answers')
  await bobSees.click('[role=alertdialog] button', 'Answer')
  await Promise.all([annSees.sees('.ttl time'), bobSees.sees('.ttl time')])
  await Promise.all([moves(annSees, THEIRS), moves(bobSees, THEIRS), moves(annSees, MINE), moves(bobSees, MINE)])
  await Promise.all([annSees, bobSees].map((window) => window.sees('.light', 'Camera on')))
  await until('both hear', () => isHeard(ann.recording, 600) && isHeard(bob.recording, 440))
  await Promise.all([annSees.picture('v2-video'), bobSees.picture('v2-video')])

  // Camera off and on again: the letter takes its place, the sound goes on.
  await annSees.press('v')
  await bobSees.sees('.main-tile .av')
  await annSees.gone('.light')
  await until('Ann is still heard', () => isHeard(bob.recording, 440))
  await annSees.press('v')
  await moves(bobSees, THEIRS)

  // A screen beside the faces.
  await annSees.press('s')
  await annSees.click('.pop .item', 'testcard')
  await bobSees.sees('.share h2', 'Ann is presenting')
  await moves(bobSees, SHARE)
  await moves(bobSees, '.strip canvas.pic')
  await annSees.sees('.sharing-bar', 'Bob sees your screen')
  await Promise.all([annSees.picture('v3-sharing'), bobSees.picture('v3-share')])
  await annSees.click('.sharing-bar button', 'Stop sharing')
  await bobSees.gone('.share')
  await moves(bobSees, THEIRS)
  await until('both are still heard', () => isHeard(bob.recording, 440) && isHeard(ann.recording, 600))

  // A page that is away wants no pictures, and gets them again when it is back.
  await bobSees.goto('about:blank')
  const sent = async () => (await ann.json('stats')).calls[0].peers[0].tracks.find((track) => track.track === 'camera' && track.direction === 'send')
  await until('nothing of the camera is sent while nobody looks', async () => {
    const before = await sent()
    await new Promise((resolve) => setTimeout(resolve, 700))
    const now = await sent()
    return before && now && before.frames === now.frames
  })
  await bobSees.goto(await bob.link())
  await moves(bobSees, THEIRS)

  await annSees.click('button', 'Leave call')
  await bobSees.sees('.outcome', 'Ann')
  await end()
})

test('answered by voice no camera is captured, and the browser can be the camera', async () => {
  const { ann, bob, annSees, bobSees, end } = await two(() => chromiumWindow(browser, { colorScheme: 'dark', viewport: { width: 390, height: 844 } }))
  await annSees.click('button', 'Video call Bob')
  await bobSees.click('[role=alertdialog] button', 'Voice only')
  await moves(bobSees, THEIRS)
  await annSees.sees('.main-tile .av')
  assert.ok(!bob.events().some((each) => each.event === 'camera_start'))
  await bobSees.picture('v4-narrow')

  // Chromium's made-up camera: a green picture with a pie that turns.
  await bobSees.eval(async () => {
    const { show } = await import('/app/pictures.js')
    const { stageCall } = await import('/app/derive.js')
    const { current } = await import('/app/store.js')
    await show(stageCall(current()), 'camera', 'browser')
  })
  await annSees.sees('.main-tile .tile.live')
  const pixels = () => annSees.eval((selector) => {
    const canvas = document.querySelector(selector)
    const copy = Object.assign(document.createElement('canvas'), { width: 64, height: 36 })
    const context = copy.getContext('2d')
    context.drawImage(canvas, 0, 0, 64, 36)
    return [...context.getImageData(0, 0, 64, 36).data]
  }, THEIRS)
  // A canvas is black until its first picture.
  const first = await until('a picture of the browser', async () => {
    const seen = await pixels()
    return seen.some((value, n) => n % 4 === 1 && value > 60) && seen
  })
  await until('the picture of the browser moves', async () => {
    const now = await pixels()
    return now.filter((value, n) => Math.abs(value - first[n]) > 40).length > 50
  })
  const middle = first.slice(4 * (18 * 64 + 4), 4 * (18 * 64 + 4) + 3)
  assert.ok(middle[1] > middle[0] + 30 && middle[1] > middle[2] + 30, `green: ${middle}`)
  await annSees.picture('v5-from-browser')
  await bobSees.press('v')
  await annSees.sees('.main-tile .av')
  await annSees.click('button', 'Leave call')
  await end()
})
