// A recorded call, as a player finds it: every voice and picture in its place, told to the other side before it begins, and
// readable when its daemon was killed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { introduce, startDaemon, until } from './lib/daemon.mjs'

/** A flash and a beep of a fifth of a second every two seconds. */
const EVERY = 2
const RATE = 48_000
const sources = mkdtempSync(join(tmpdir(), 'ahoy-e2e-'))
after(() => rmSync(sources, { recursive: true, force: true }))

function beeps(hertz) {
  const header = Buffer.alloc(44)
  const samples = Int16Array.from({ length: RATE * EVERY }, (_, n) => (n < RATE / 5 ? 9_000 * Math.sin(2 * Math.PI * hertz * n / RATE) : 0))
  header.write('RIFF'); header.writeUInt32LE(36 + samples.byteLength, 4); header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16); header.writeUInt16LE(1, 20); header.writeUInt16LE(1, 22); header.writeUInt32LE(RATE, 24)
  header.writeUInt32LE(RATE * 2, 28); header.writeUInt16LE(2, 32); header.writeUInt16LE(16, 34)
  header.write('data', 36); header.writeUInt32LE(samples.byteLength, 40)
  const path = join(sources, `beeps-${hertz}.wav`)
  writeFileSync(path, Buffer.concat([header, Buffer.from(samples.buffer)]))
  return `file:${path}?loop`
}

function flashes() {
  const [width, height, rate] = [320, 180, 10]
  const frame = (luma) => Buffer.concat([Buffer.from('FRAME\n'), Buffer.alloc(width * height, luma), Buffer.alloc(width * height / 2, 128)])
  const path = join(sources, 'flashes.y4m')
  const frames = Array.from({ length: rate * EVERY }, (_, n) => frame(n < rate / 5 ? 235 : 16))
  writeFileSync(path, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F${rate}:1 Ip A1:1 C420\n`), ...frames]))
  return `file:${path}?loop`
}

const probe = (file) => JSON.parse(execFileSync('ffprobe', ['-v', 'error', '-show_streams', '-show_format', '-show_packets', '-of', 'json', file], { maxBuffer: 1 << 28 }))
const raw = (file, ...words) => execFileSync('ffmpeg', ['-v', 'error', '-i', file, ...words, '-'], { maxBuffer: 1 << 30 })

/** When the sound of a track begins after silence, in seconds of the file. */
function heard(file, index) {
  const bytes = raw(file, '-map', `0:${index}`, '-ac', '1', '-ar', `${RATE}`, '-f', 's16le')
  const samples = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1)))
  const begins = []
  for (let at = 0, quiet = 0; at < samples.length; at += 1) {
    if (Math.abs(samples[at]) < 1_500) quiet += 1
    else {
      if (quiet > RATE / 2) begins.push(at / RATE)
      quiet = 0
    }
  }
  return begins
}

/** When a track of pictures becomes bright. */
function seen(file, index, packets) {
  const times = packets.filter((each) => each.stream_index === index).map((each) => Number(each.pts_time))
  const pictures = raw(file, '-map', `0:${index}`, '-fps_mode', 'passthrough', '-vf', 'scale=16:16', '-pix_fmt', 'gray', '-f', 'rawvideo')
  const bright = (n) => pictures[n * 256 + 136] > 125
  return times.filter((_, n) => n > 0 && n * 256 + 136 < pictures.length && bright(n) && !bright(n - 1))
}

/** Median of how much later flashes are than beeps, between minus one and one second. */
function apart(flash, beep, expected) {
  const offs = flash.flatMap((at) => beep.map((other) => (((at - other - expected) % EVERY) + 1.5 * EVERY) % EVERY - EVERY / 2))
  return offs.sort((a, b) => a - b)[offs.length >> 1]
}

async function talking(anns = {}) {
  const [ann, bob] = await Promise.all([
    startDaemon({ folder: mkdtempSync(join(tmpdir(), 'ahoy-e2e-')), ...anns }),
    startDaemon({ mic: beeps(1_300), args: ['--auto-answer', 'all', '--camera', flashes()] }),
  ])
  await introduce(ann, bob)
  const ended = ann.cli('call', (await bob.json('me')).peer_id, '--video')
  await Promise.all([ann.event('active'), bob.event('active')])
  const end = async () => {
    await Promise.all([ann.stop(), bob.stop()])
    await ended
    rmSync(ann.folder, { recursive: true, force: true })
  }
  return { ann, bob, ended, end }
}

const recordedBy = async (daemon) => (await daemon.json('calls')).calls[0].recording

test('all voices and pictures are in the file, beside each other as they were, and the other side was told', async () => {
  const { ann, bob, end } = await talking({ mic: beeps(900), args: ['--camera', flashes()] })
  // No page looks: the recording alone wants the pictures.
  await ann.event('first_audio')
  const begun = await ann.json('record', 'start')
  assert.match(begun.file, /recordings\/.*\.webm$/)
  assert.deepEqual(await recordedBy(bob), { own: 'off', file: null, theirs: true })
  assert.deepEqual(await recordedBy(ann), { own: 'on', file: begun.file, theirs: false })
  assert.equal(statSync(begun.file).mode & 0o777, 0o600)
  const from = Date.now()
  await until('ten seconds are recorded', () => Date.now() - from > 10_000)
  const over = await ann.json('record', 'stop')
  const lasted = (Date.now() - from) / 1000
  assert.equal(over.file, begun.file)
  await until('the other side hears of the end', async () => !(await recordedBy(bob)).theirs)
  assert.equal((await ann.event('recorded')).file, begun.file)

  const { streams, packets, format } = probe(begun.file)
  const kinds = streams.map((each) => `${each.codec_type} ${each.codec_name}`)
  assert.deepEqual(kinds.slice(0, 2), ['audio opus', 'audio opus'])
  const pictures = streams.filter((each) => each.codec_type === 'video')
  assert.equal(pictures.length, 2, kinds.join())
  assert.ok(pictures.every((each) => each.width === 320 && each.height === 180 && /, camera$/.test(each.tags.title)))
  assert.ok(Math.abs(Number(format.duration) - lasted) < 2, `${format.duration} of ${lasted}`)
  for (const { index, codec_type } of streams) {
    const own = packets.filter((each) => each.stream_index === index).map((each) => Number(each.pts_time))
    assert.ok(own.every((at, n) => n === 0 || at >= own[n - 1]), `track ${index} goes on`)
    assert.ok(own.at(-1) > lasted - 2, `track ${index} lasts`)
    if (codec_type === 'audio') assert.ok(own.every((at, n) => n === 0 || at - own[n - 1] < 0.0215), `track ${index} has no gap`)
  }
  // What began together is together: the starts of both sources are in their daemon's trace.
  for (const [voice, daemon] of [[0, ann], [1, bob]]) {
    const at = (name) => daemon.events().find((each) => each.event === name).t_us / 1e6
    const beep = heard(begun.file, voice)
    const title = streams[voice].tags.title
    const picture = pictures.find((each) => each.tags.title === `${title}, camera`)
    const flash = seen(begun.file, picture.index, packets)
    assert.ok(beep.length >= 3 && flash.length >= 3, `${beep} and ${flash}`)
    const off = apart(flash, beep, at('camera_start') - at('mic_start'))
    assert.ok(Math.abs(off) < 0.25, `pictures of ${title} are ${off} s off their sound`)
  }
  assert.equal((await ann.cli('record', 'stop')).status, 1)
  await end()
})

test('what was recorded can be played after the daemon was killed', async () => {
  const { ann, bob, ended } = await talking({ mic: 'tone:440', args: ['--camera', 'testcard:640x360@30'] })
  const { file } = await ann.json('record', 'start')
  const from = Date.now()
  await until('six seconds are recorded', () => Date.now() - from > 6_000)
  await ann.kill()
  await ended
  const { streams, packets } = probe(file)
  assert.ok(streams.length >= 3)
  for (const { index } of streams) {
    assert.ok(packets.filter((each) => each.stream_index === index).some((each) => Number(each.pts_time) > 2.5), `track ${index}`)
    raw(file, '-map', `0:${index}`, '-f', 'null')
  }
  await bob.stop()
  rmSync(ann.folder, { recursive: true, force: true })
})

test('where nothing can be written nobody is told of a recording, and the call goes on', async () => {
  const { ann, bob, end } = await talking({ mic: 'tone:440' })
  writeFileSync(join(ann.folder, 'recordings'), 'a file where the folder should be')
  const refused = await ann.cli('record', 'start')
  assert.equal(refused.status, 1)
  assert.match(refused.stderr, /can't be recorded.*call goes on/i)
  assert.equal((await recordedBy(ann)).own, 'off')
  assert.ok(!bob.events().some((each) => each.event === 'recording'))
  assert.equal((await bob.json('calls')).calls[0].state, 'active')
  await end()
})
