// A real screen (X11, made by Xvfb) with known words, shared: the other reads them. And what is said when a source can't be had.
import assert from 'node:assert/strict'
import { spawn, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { chromiumWindow, launchChromium, settle } from './lib/browsers.mjs'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { keep, words } from './lib/pixels.mjs'
import { isHeard } from './lib/sound.mjs'

const LINES = ['Meeting notes, Tuesday', 'The harbour opens at seven', 'Bring 48 lanterns and 12 ropes', 'small print: velvet orbit maple 9036']

let browser
const started = []
before(async () => { browser = await launchChromium() })
after(async () => {
  await browser.close()
  started.forEach((child) => child.kill('SIGKILL'))
})

/** A screen of 1920 by 1080 with words on it; its DISPLAY. */
async function screen(folder) {
  const server = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1920x1080x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })
  started.push(server)
  let said = ''
  server.stdio[3].on('data', (data) => { said += data })
  const display = ':' + await until('Xvfb has a number', () => said.includes('\n') && said.trim())
  const font = '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf'
  // Sizes as on a desk: a title, text of 18 pixels, a line of 14.
  const draw = LINES.map((line, n) => `drawtext=fontfile=${font}:text='${line.replace(':', '\\:').replace(',', '\\,')}':x=160:y=${160 + 120 * n}:fontsize=${[40, 22, 18, 14][n]}:fontcolor=#1a2023`)
  const image = join(folder, 'notes.png')
  execFileSync('ffmpeg', ['-y', '-loglevel', 'error', '-f', 'lavfi', '-i', 'color=#fbfaf7:s=1920x1080', '-vf', draw.join(','), '-frames:v', '1', image])
  started.push(spawn('ffplay', ['-loglevel', 'error', '-noborder', '-left', '0', '-top', '0', '-x', '1920', '-y', '1080', '-loop', '0', image], { env: { ...process.env, DISPLAY: display, SDL_VIDEODRIVER: 'x11', SDL_AUDIODRIVER: 'dummy' }, stdio: 'ignore' }))
  return display
}

async function talking(anns, bobs) {
  const [ann, bob] = await Promise.all([startDaemon({ mic: 'tone:440', ...anns }), startDaemon({ mic: 'tone:600', args: ['--auto-answer', 'all'], ...bobs })])
  const annSees = await chromiumWindow(browser)
  await settle(annSees, ann, 'Ann')
  await introduce(ann, bob)
  await until('Bob is there', async () => (await ann.json('contacts')).some?.((each) => each.presence === 'online') ?? true)
  return { ann, bob, annSees }
}

test('words on a shared screen of 1080 lines are read by the other', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ahoy-screen-'))
  const display = await screen(folder)
  const { ann, bob, annSees } = await talking({ env: { DISPLAY: display } }, {})
  const bobSees = await chromiumWindow(browser, { viewport: { width: 1920, height: 1080 } })
  await settle(bobSees, bob, 'Bob')
  await annSees.eval((id) => { location.hash = '#/people/' + id }, (await bob.json('me')).peer_id)
  await annSees.click('button', 'Voice call')
  await bobSees.sees('.ttl time')
  await annSees.press('s')
  await annSees.click('.pop .item', '')
  await bobSees.sees('.share h2', 'presenting')
  const shot = join(folder, 'seen.png')
  await until('the words are read', async () => {
    const size = await keep(bobSees, '.share-pic canvas.pic', shot)
    if (!size) return false
    assert.deepEqual(size, { width: 1920, height: 1080 }, 'all its pixels')
    const read = words(shot)
    return LINES.every((line) => read.replace(/\s+/g, ' ').includes(line)) && read
  })
  await bobSees.picture('s1-words')
  assert.ok(isHeard(bob.recording, 440), 'the sound goes on')
  await annSees.press('s')
  await bobSees.gone('.share')
  await Promise.all([annSees.close(), bobSees.close()])
  await Promise.all([ann.stop(), bob.stop()])
  rmSync(folder, { recursive: true })
})

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
