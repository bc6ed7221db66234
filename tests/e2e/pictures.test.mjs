// Pictures from capture to the other side's recording, judged by their pixels: the counter, the colours, text on a screen.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { introduce, startDaemon, until } from './lib/daemon.mjs'

/** The number in a picture's luma (codec/src/video/barcode.rs), or null. */
function counter(luma, width) {
  const cell = width / 20
  const at = (n) => luma[Math.floor(cell / 2) * width + Math.floor((n + 0.5) * cell)]
  const threshold = (at(0) + at(1) + at(18) + at(19)) / 4
  let gray = 0
  for (let n = 2; n < 14; n += 1) gray = gray * 2 + (at(n) > threshold ? 1 : 0)
  let number = 0
  for (let rest = gray; rest; rest >>= 1) number ^= rest
  return at(0) - at(1) < 40 ? null : number
}

/** All pictures of a recording, as raw I420. */
function decode(file, width, height) {
  const raw = execFileSync('ffmpeg', ['-v', 'error', '-i', file, '-fps_mode', 'passthrough', '-vf', `scale=${width}:${height}`,
    '-pix_fmt', 'yuv420p', '-f', 'rawvideo', '-'], { maxBuffer: 1 << 30 })
  const bytes = width * height * 3 / 2
  return Array.from({ length: Math.floor(raw.length / bytes) }, (_, n) => raw.subarray(n * bytes, (n + 1) * bytes))
}

const recorded = (folder, ending) => existsSync(folder) && readdirSync(folder).find((name) => name.endsWith(ending))
const lines = (folder, ending) => {
  const name = recorded(folder, ending)
  return name ? readFileSync(join(folder, name), 'utf8').split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line)) : []
}

/** Calls from ann to bob with `how` until bob's recording of `track` has `frames` frames. */
async function call(ann, bob, how, track, frames) {
  await introduce(ann, bob)
  const { peer_id: who } = await bob.json('me')
  const folder = join(bob.folder, 'seen')
  const ended = ann.cli('call', who, how)
  await until(`${frames} frames of ${track}\n${ann.log()}`, () => lines(folder, `-${track}.jsonl`).length >= frames, 60)
  await ann.cli('hangup')
  await ended
  return folder
}

const size = { width: 640, height: 360 }
const pair = async (options) => {
  const folder = mkdtempSync(join(tmpdir(), 'ahoy-e2e-'))
  const bob = await startDaemon({ folder, args: ['--auto-answer', 'all', '--camera', 'testcard:640x360@30', '--video-out', `record:${join(folder, 'seen')}`] })
  const ann = await startDaemon(options)
  return { ann, bob, end: async () => {
    await Promise.all([ann.stop(), bob.stop()])
    rmSync(folder, { recursive: true, force: true })
  } }
}

test('the counter of a camera advances on the other side, in the right colours', async () => {
  const { ann, bob, end } = await pair({ args: ['--camera', 'testcard:640x360@30'] })
  const folder = await call(ann, bob, '--video', 'camera', 90)
  const pictures = decode(join(folder, recorded(folder, '-camera.ivf')), size.width, size.height)
  const numbers = pictures.map((picture) => counter(picture, size.width))
  assert.ok(numbers.length >= 90 && numbers.every((n) => n !== null), `${numbers}`)
  assert.ok(numbers.every((n, at) => at === 0 || n > numbers[at - 1]), `${numbers}`)
  const last = pictures.at(-1)
  const luma = size.width * size.height
  for (const [n, colour] of [[81, 90, 240], [145, 54, 34], [41, 240, 110], [210, 16, 146]].entries()) {
    const [x, y] = [80 + 160 * n, 340]
    const chroma = (y / 2) * (size.width / 2) + x / 2
    const seen = [last[y * size.width + x], last[luma + chroma], last[luma * 5 / 4 + chroma]]
    assert.ok(seen.every((value, part) => Math.abs(value - colour[part]) < 12), `${seen} for ${colour}`)
  }
  await end()
})

test('text on a shared screen is read on the other side', async () => {
  const display = `:${500 + process.pid % 400}`
  const server = spawn('Xvfb', [display, '-screen', '0', '1920x1080x24'], { stdio: 'ignore' })
  const env = { DISPLAY: display }
  await until('the display', () => existsSync(`/tmp/.X11-unix/X${display.slice(1)}`))
  const text = 'Seventeen quiet foxes read 4096 lines of small print before noon'
  const note = spawn('xmessage', ['-geometry', '1400x300+200+300', '-buttons', '', text], { env: { ...process.env, ...env }, stdio: 'ignore' })
  const { ann, bob, end } = await pair({ args: ['--camera', 'null', '--screen', 'x11:screen'], env })
  const folder = await call(ann, bob, '--screen', 'screen', 15)
  const sizes = lines(folder, '-screen.jsonl').map((line) => `${line.width}x${line.height}`)
  assert.equal(sizes.at(-1), '1920x1080', `${sizes}`)
  // Letters of a bitmap font are small for a reader of scans.
  const picture = join(folder, 'last.png')
  execFileSync('ffmpeg', ['-v', 'error', '-y', '-i', join(folder, recorded(folder, '-screen.ivf')), '-vf', 'scale=iw*2:ih*2:flags=lanczos', '-update', '1', picture])
  const read = execFileSync('tesseract', [picture, '-', '--psm', '11'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  assert.match(read.replace(/\s+/g, ' '), /Seventeen quiet foxes read 4096 lines of small print before noon/)
  note.kill()
  await end()
  server.kill()
})
