// Real devices: a spoken file is played into one machine's microphone and comes out of the other's speaker, through a
// sound server and cpal on both sides, recognisably the same. And a microphone that is unplugged in a call.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { likeness, samples } from './lib/sound.mjs'

const folder = mkdtempSync(join(tmpdir(), 'ahoy-sound-'))
const env = { ...process.env, XDG_RUNTIME_DIR: folder, HOME: folder, PULSE_SERVER: `unix:${folder}/pulse/native` }
const pactl = (...words) => execFileSync('pactl', words, { env, encoding: 'utf8' })
let server

before(async () => {
  const load = (line) => ['-L', line]
  server = spawn('pulseaudio', ['-n', '--daemonize=no', '--exit-idle-time=-1', '--disallow-exit=1', ...load('module-native-protocol-unix'),
    // Each side: what it says goes in at `say`, what it hears comes out at `hear`.
    ...['ann', 'bob'].flatMap((who) => ['say', 'hear'].flatMap((end) => load(`module-null-sink sink_name=${who}_${end} rate=48000 channels=1`))),
    ...['ann', 'bob'].flatMap((who) => load(`module-remap-source source_name=${who}_mic master=${who}_say.monitor`))], { env, stdio: 'ignore' })
  await until('the sound server runs', () => {
    try {
      return pactl('list', 'short', 'sources').includes('bob_mic')
    } catch {
      return false
    }
  })
})
after(async () => {
  const ended = new Promise((resolve) => server.on('exit', resolve))
  server.kill()
  await ended
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

test('what is said into a real microphone comes out of a real speaker', async () => {
  const said = join(folder, 'said.wav')
  execFileSync('espeak-ng', ['-w', said + '.22k', '-s', '150', 'Ahoy! This is a test of the sound between two machines. The quick brown fox jumps over the lazy dog, twice.'])
  execFileSync('ffmpeg', ['-v', 'error', '-y', '-f', 'wav', '-i', said + '.22k', '-ar', '48000', '-ac', '1', '-af', 'volume=-6dB,apad=pad_dur=1', said])
  const start = (who, args = []) => startDaemon({ mic: `pulseaudio:${who}_mic`, speaker: `pulseaudio:${who}_hear`, args, env })
  const [ann, bob] = [await start('ann'), await start('bob', ['--auto-answer', 'contacts'])]
  assert.deepEqual((await ann.json('devices')).microphones.map((each) => each.id).sort(), ['pulseaudio:ann_mic', 'pulseaudio:bob_mic'])
  await introduce(ann, bob)
  void ann.cli('call', (await bob.json('me')).peer_id)
  await bob.event('first_audio')

  // Once for the speaker to find the blocks that this machine's sound server keeps up with.
  execFileSync('paplay', ['--device=ann_say', said], { env })
  const heard = join(folder, 'heard.wav')
  const recorder = spawn('parec', ['--device=bob_hear.monitor', '--rate=48000', '--channels=1', '--format=s16le', '--file-format=wav', '--latency-msec=20', heard], { env })
  await new Promise((resolve) => setTimeout(resolve, 500))
  execFileSync('paplay', ['--device=ann_say', said], { env })
  await new Promise((resolve) => setTimeout(resolve, 500))
  recorder.kill('SIGINT')
  await new Promise((resolve) => recorder.on('exit', resolve))
  const score = likeness(samples(said), samples(heard))
  // Sound that waits for an uneven sound server is stretched, which moves waveforms; other speech scores 0.3.
  assert.ok(score.correlation > 0.5, `correlation ${score.correlation.toFixed(3)}`)
  assert.ok(score.distance < 5, `log spectral distance ${score.distance.toFixed(2)} dB`)

  // The microphone goes away in the call: the call goes on, people are told, and it is used again once it is back.
  const module = pactl('list', 'short', 'modules').split('\n').find((line) => line.includes('ann_mic')).split('\t')[0]
  pactl('unload-module', module)
  await until('Ann is told', async () => (await ann.json('devices')).microphone.state !== 'ok')
  assert.equal((await ann.json('calls')).calls[0].state, 'active')
  pactl('load-module', 'module-remap-source', 'source_name=ann_mic', 'master=ann_say.monitor')
  await until('the microphone is back', async () => (await ann.json('devices')).microphone.state === 'ok')
  await ann.stop()
  await bob.stop()
})

test('a machine without any sound says so and calls all the same', async () => {
  const bare = { PULSE_SERVER: 'unix:/nowhere', XDG_RUNTIME_DIR: '', HOME: folder }
  const daemon = await startDaemon({ mic: 'default', speaker: 'default', env: bare })
  const checks = await daemon.json('doctor', '--no-call')
  for (const id of ['microphone', 'speaker']) assert.equal(checks.find((check) => check.id === id).state, 'broken')
  const echo = (await daemon.json('contacts')).contacts.find((each) => each.kind === 'echo')
  void daemon.cli('call', echo.peer_id)
  await daemon.event('active')
  assert.equal((await daemon.cli('hangup')).status, 0)
  await daemon.stop()
})
