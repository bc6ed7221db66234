// Figures of a voice call between two daemons on loopback, medians of seven: from `dial` to `first_audio` after an instant
// answer, mouth to ear (a tone that begins in the middle of the call), processor and memory over 20 s.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { samples } from './lib/sound.mjs'

const RATE = 48_000
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1]

/** A WAV file: silence with soft noise, then from `at` seconds a loud tone. */
function click(path, at, seconds) {
  const n = RATE * seconds
  const bytes = Buffer.alloc(44 + 2 * n)
  bytes.write('RIFF', 0)
  bytes.writeUInt32LE(36 + 2 * n, 4)
  bytes.write('WAVEfmt ', 8)
  for (const [offset, value] of [[16, 16], [24, RATE], [28, RATE * 2]]) bytes.writeUInt32LE(value, offset)
  for (const [offset, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) bytes.writeUInt16LE(value, offset)
  bytes.write('data', 36)
  bytes.writeUInt32LE(2 * n, 40)
  for (let i = 0; i < n; i += 1) {
    const loud = i >= at * RATE ? 9000 * Math.sin((2 * Math.PI * 500 * i) / RATE) : 300 * Math.sin((2 * Math.PI * 180 * i) / RATE)
    bytes.writeInt16LE(Math.round(loud), 44 + 2 * i)
  }
  writeFileSync(path, bytes)
}

const figures = { setup_ms: [], mouth_to_ear_ms: [] }
for (let run = 0; run < 7; run += 1) {
  const ann = await startDaemon({ mic: 'null' })
  const wav = join(ann.folder, 'click.wav')
  click(wav, 3, 6)
  const speaking = await startDaemon({ mic: `file:${wav}` })
  const bob = await startDaemon({ mic: 'tone:300', args: ['--auto-answer', 'all'] })
  await introduce(speaking, bob)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  void speaking.cli('call', (await bob.json('me')).peer_id)
  await until('first audio', () => speaking.events().some((each) => each.event === 'first_audio') && bob.events().some((each) => each.event === 'first_audio'))
  await new Promise((resolve) => setTimeout(resolve, 5000))
  const at = (daemon, name) => daemon.events().find((each) => each.event === name).t_us / 1000
  figures.setup_ms.push(at(speaking, 'first_audio') - at(speaking, 'dial'))
  const heard = samples(bob.recording)
  const first = heard.findIndex((sample, i) => i > RATE / 2 && Math.abs(sample) > 3000)
  figures.mouth_to_ear_ms.push(at(bob, 'speaker_start') + (first / RATE) * 1000 - (at(speaking, 'mic_start') + 3000))
  if (run === 6) {
    await new Promise((resolve) => setTimeout(resolve, 15_000))
    const { daemon } = await speaking.json('stats')
    figures.cpu_percent = daemon.cpu_share * 100
    figures.resident_mb = daemon.resident_bytes / 1e6
  }
  await Promise.all([ann, speaking, bob].map((daemon) => daemon.stop()))
}
console.log(JSON.stringify({ ...figures, setup_ms: Math.round(median(figures.setup_ms)), mouth_to_ear_ms: Math.round(median(figures.mouth_to_ear_ms)) }, null, 1))
