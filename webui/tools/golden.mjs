// Writes golden/*.json: the shared samples of the page's protocol.
// The daemon's tests parse and emit these files, the page's tests draw them. `node tools/golden.mjs` re-makes them;
// `node tools/golden.mjs --check` fails when a file differs from what this script makes.
import { readFileSync, writeFileSync, readdirSync, unlinkSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../golden/', import.meta.url))
const check = process.argv.includes('--check')

/** Unix milliseconds of the samples' "now": Tuesday 22 September 2026, 13:53:20 UTC. */
const NOW = 1790085200000
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

const bytes = (/** @type {string} */ seed) => createHash('sha256').update(seed).digest()

/** Base58 as Bitcoin writes it: what a libp2p PeerId is shown in. */
function base58(/** @type {Buffer} */ data) {
  const letters = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
  let n = BigInt('0x' + data.toString('hex'))
  let text = ''
  while (n > 0n) {
    text = letters[Number(n % 58n)] + text
    n /= 58n
  }
  for (const byte of data) {
    if (byte !== 0) break
    text = '1' + text
  }
  return text
}

/** A well-formed Ed25519 PeerId made from a name. */
const peer = (/** @type {string} */ name) =>
  base58(Buffer.concat([Buffer.from('002408011220', 'hex'), bytes('peer ' + name)]))
const id = (/** @type {string} */ name) => bytes('id ' + name).toString('hex').slice(0, 32)
/** 60 digits in groups of 5. */
const safety = (/** @type {string} */ name) =>
  Array.from({ length: 12 }, (_, i) => String(bytes(`safety ${name} ${i}`).readUInt32BE(0) % 100000).padStart(5, '0')).join(' ')

const people = {
  me: peer('Ann Lee'), echo: peer('Echo'), mira: peer('Mira Okafor'), jonas: peer('Jonas Weber'),
  tobi: peer('Tobi Adeyemi'), lin: peer('Lin Zhao'), dad: peer('Dad'), hanne: peer('Hanne Dahl'), noor: peer('Noor Haddad'),
}
const card = 'ahoy:c/' + Buffer.concat([bytes('card 1'), bytes('card 2'), bytes('card 3'), bytes('card 4'), bytes('card 5')]).toString('base64url')

const contact = (key, name, more = {}) => ({
  peer_id: people[key], name, kind: 'person', verified: 'unverified', presence: 'online', nearby: false,
  safety_number: safety(name), added_at_ms: NOW - 20 * day, ...more,
})
const echo = contact('echo', 'Echo', { kind: 'echo', verified: 'verified', nearby: true })

const microphones = [
  { id: 'default', name: 'System default (Built-in Audio)', is_default: true },
  { id: 'alsa_input.pci-0000_00_1f.3.analog-stereo', name: 'Built-in Audio Analog Stereo', is_default: false },
  { id: 'alsa_input.usb-Blue_Yeti-00.analog-stereo', name: 'Blue Yeti Stereo', is_default: false },
]
const speakers = [
  { id: 'default', name: 'System default (Built-in Audio)', is_default: true },
  { id: 'alsa_output.pci-0000_00_1f.3.analog-stereo', name: 'Built-in Audio Analog Stereo', is_default: false },
  { id: 'bluez_output.AA_BB_CC_DD_EE_FF.1', name: 'WH-1000XM5', is_default: false },
]
const chosen = { id: 'default', state: 'ok', message: null }
const cameras = [
  { id: 'usb-046d_Logitech_BRIO-video-index0', name: 'Logitech BRIO', kind: 'camera' },
  { id: 'pci-0000_00_14.0-usb-0_8_1.0-video-index0', name: 'Integrated Camera', kind: 'camera' },
]
const screens = [
  { id: 'screen:DP-1', name: 'Whole screen DP-1, 2560 × 1440', kind: 'screen' },
  { id: 'window:0x3a00007', name: 'Onboarding, second pass – Figma', kind: 'window' },
  { id: 'window:0x2c0000e', name: 'budget.ods – LibreOffice Calc', kind: 'window' },
]

const firstRun = {
  revision: 1, version: '0.1.0', now_ms: NOW,
  me: {
    name: '', peer_id: people.me, card,
    card_qr: JSON.parse(readFileSync(new URL('card-qr.json', import.meta.url), 'utf8')),
    addresses: [
      `/ip4/192.168.1.5/udp/40001/quic-v1/p2p/${people.me}`, `/ip4/192.168.1.5/tcp/40001/p2p/${people.me}`,
      `/ip6/fd12:3456:789a::5/udp/40001/quic-v1/p2p/${people.me}`,
    ],
  },
  ready: {
    state: 'ready', text: 'Ready to receive calls',
    listening: ['/ip4/192.168.1.5/udp/40001/quic-v1', '/ip4/192.168.1.5/tcp/40001', '/ip6/fd12:3456:789a::5/udp/40001/quic-v1'],
    media_ports: [40002], last_error: null, mdns: true,
  },
  contacts: [echo],
  nearby: [],
  calls: [],
  recent: [],
  devices: {
    microphones, speakers, microphone: chosen, speaker: chosen, cameras, screens,
    camera: { id: cameras[0].id, state: 'ok', message: null }, screen: { id: 'screen:DP-1', state: 'ok', message: null },
  },
  settings: {
    strangers_nearby_may_ring: true, visible_on_lan: true, ring_volume: 80, single_key_shortcuts: true,
    theme: 'system', auto_answer: 'off', echo_cancellation: true, noise_suppression: true, auto_gain: true, music: false,
    low_data: false, mirror_self: true, screen_content: 'auto',
  },
  sessions: [{ id: id('session 1'), browser: 'Chromium on Linux', last_used_ms: NOW - 2000, current: true }],
  notices: [],
}

const recent = (name, key, peerName, direction, at, duration, outcome, text, more = {}) => ({
  call: id(name), peer_id: people[key], name: peerName, direction, media: 'voice', at_ms: NOW - at,
  duration_ms: duration, outcome, text, message: null, seen: true, ...more,
})

const home = {
  ...firstRun, revision: 7,
  me: { ...firstRun.me, name: 'Ann Lee' },
  contacts: [
    contact('mira', 'Mira Okafor', { verified: 'verified', nearby: true }),
    contact('dad', 'Dad', { presence: 'online' }),
    contact('jonas', 'Jonas Weber', { verified: 'changed', presence: 'offline' }),
    contact('lin', 'Lin Zhao', { verified: 'verified', presence: 'offline' }),
    contact('tobi', 'Tobi Adeyemi', { presence: 'offline' }),
    echo,
  ],
  nearby: [{ peer_id: people.hanne, name: 'Hanne Dahl', known: false }, { peer_id: people.mira, name: 'Mira Okafor', known: true }],
  recent: [
    recent('r1', 'mira', 'Mira Okafor', 'outgoing', 4 * hour, 18 * minute, 'answered', 'Voice call'),
    recent('r2', 'dad', 'Dad', 'incoming', 33 * minute, 0, 'missed', 'Missed voice call', { seen: false }),
    recent('r3', 'lin', 'Lin Zhao', 'incoming', 26 * hour, 42 * minute, 'answered', 'Voice call'),
    recent('r4', 'tobi', 'Tobi Adeyemi', 'outgoing', 27 * hour, 0, 'declined', 'Declined', { message: "Can't talk now. I'll call you later." }),
    recent('r5', 'jonas', 'Jonas Weber', 'outgoing', 3 * day, 0, 'no_answer', 'No answer'),
    recent('r6', 'echo', 'Echo', 'outgoing', 3 * day + hour, 40_000, 'answered', 'Voice call'),
    recent('r7', 'mira', 'Mira Okafor', 'incoming', 4 * day, 7 * minute + 12_000, 'answered', 'Voice call'),
    recent('r8', 'mira', 'Mira Okafor', 'outgoing', 4 * day + 10 * minute, 0, 'busy', 'Busy'),
  ],
  sessions: [
    { id: id('session 1'), browser: 'Chromium on Linux', last_used_ms: NOW - 2000, current: true },
    { id: id('session 2'), browser: 'Firefox on Linux', last_used_ms: NOW - 2 * day, current: false },
  ],
}
home.recent.sort((a, b) => b.at_ms - a.at_ms)

const security = { words: ['harbour', 'velvet', 'orbit', 'maple'], suite: 'Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s + ML-KEM-768, SFrame AES-256-GCM' }
const quality = { word: 'good', text: 'Good', playout_delay_ms: 32, delay_ms: 58, loss_percent: 0.2, concealed_percent: 0.1 }
const path = { kind: 'direct', address: 'lan', rtt_ms: 1.8 }
const mira = { peer_id: people.mira, name: 'Mira Okafor', known: true, verified: 'verified', kind: 'person' }
const call = (state, more = {}) => ({
  id: id('call 1'), peer: mira, direction: 'outgoing', media: 'voice', state, hold: { local: false, remote: false }, muted: false, tracks: [],
  recording: { own: 'off', file: null, theirs: false },
  offered_at_ms: NOW - 9000, active_since_ms: null, reconnecting_since_ms: null, path: null, quality: null, security: null, ended: null,
  ...more,
})
const running = { offered_at_ms: NOW - 780_000, active_since_ms: NOW - 768_000, path, quality, security }
const active = call('active', running)
const ended = (reason, text, more = {}, ofCall = {}) =>
  call('ended', { ...ofCall, ended: { reason, text, message: null, can_retry: true, ...more } })
const withCalls = (/** @type {unknown[]} */ ...calls) => ({ ...home, revision: 8, calls })
const picture = (/** @type {string} */ whose, /** @type {'camera'|'screen'} */ track, more = {}) => ({
  peer_id: people[whose], track, width: 1280, height: 720, frame_rate: 29.8, bitrate_bps: 1_480_000, frozen: false, ...more,
})
const slide = { width: 1920, height: 1080, frame_rate: 7.4, bitrate_bps: 610_000 }
const video = { ...active, media: 'video', tracks: [picture('mira', 'camera'), picture('me', 'camera')] }
const incoming = (more = {}) => call('ringing_in', { id: id('call 2'), direction: 'incoming', ...more })
const stranger = { peer_id: people.hanne, name: 'Hanne Dahl', known: false, verified: 'unverified', kind: 'person' }
const lived = { active_since_ms: NOW - 768_000, offered_at_ms: NOW - 780_000 }

const withEcho = {
  ...running, peer: { peer_id: people.echo, name: 'Echo', known: true, verified: 'verified', kind: 'echo' },
  path: { kind: 'direct', address: 'loopback', rtt_ms: 0.4 },
}
const tested = {
  text: 'Your sound works: the others hear you well', speech_dbfs: -26.4, background_dbfs: -61.8, peak_dbfs: -7.9, returned_dbfs: -25.1,
  round_trip_ms: 71, echo_return_loss_db: null, lost_percent: 0, faults: [],
}

/** @type {Record<string, unknown>} */
const files = {
  'view-first-run': firstRun,
  'view-home': home,
  'view-offline': {
    ...home,
    ready: {
      ...home.ready, state: 'offline', text: "Offline: people can't ring you", listening: [], media_ports: [],
      last_error: 'No network interface is up. Connect to a network: Ahoy listens again by itself.',
    },
  },
  'view-incoming': withCalls(incoming()),
  'view-incoming-stranger': withCalls(incoming({ peer: stranger })),
  'view-incoming-second': withCalls(active, incoming({ peer: { peer_id: people.dad, name: 'Dad', known: true, verified: 'unverified', kind: 'person' } })),
  'view-outgoing-calling': withCalls(call('calling')),
  'view-ringing': withCalls(call('ringing_out')),
  'view-connecting': withCalls(call('connecting', { security })),
  'view-active': withCalls(active),
  'view-active-muted': withCalls({ ...active, muted: true }),
  'view-active-poor': withCalls({
    ...active, path: { kind: 'direct', address: 'ipv4', rtt_ms: 184.2 },
    quality: { word: 'poor', text: 'Weak connection', playout_delay_ms: 120, delay_ms: 262, loss_percent: 6.4, concealed_percent: 3.1 },
  }),
  'view-recording': withCalls({ ...active, recording: { own: 'on', file: '/home/ann/Videos/Ahoy/2026-09-22 15-53-20 Mira Okafor.webm', theirs: true } }),
  'view-recorded': withCalls({ ...video, recording: { own: 'off', file: null, theirs: true } }),
  'view-incoming-video': withCalls(incoming({ media: 'video' })),
  'view-calling-video': withCalls(call('ringing_out', { media: 'video', tracks: [picture('me', 'camera', { width: 640, height: 360 })] })),
  'view-video': withCalls(video),
  'view-video-theirs': withCalls({ ...video, tracks: [picture('mira', 'camera')] }),
  'view-video-mine': withCalls({ ...video, tracks: [picture('me', 'camera')] }),
  'view-video-share': withCalls({ ...video, tracks: [picture('mira', 'camera'), picture('mira', 'screen', slide), picture('me', 'camera')] }),
  'view-video-presenting': withCalls({ ...video, tracks: [picture('mira', 'camera'), picture('me', 'camera'), picture('me', 'screen', slide)] }),
  'view-video-both-share': withCalls({ ...active, tracks: [picture('mira', 'screen', slide), picture('me', 'screen', slide)] }),
  'view-video-poor': withCalls({
    ...video, path: { kind: 'direct', address: 'ipv4', rtt_ms: 184.2 },
    quality: { word: 'poor', text: 'Weak connection', playout_delay_ms: 120, delay_ms: 262, loss_percent: 6.4, concealed_percent: 3.1 },
    tracks: [picture('mira', 'camera', { width: 320, height: 180, frame_rate: 11.2, bitrate_bps: 140_000, frozen: true }), picture('me', 'camera')],
  }),
  'view-video-reconnecting': withCalls({ ...video, state: 'reconnecting', reconnecting_since_ms: NOW - 8000, path: null }),
  'view-camera-busy': {
    ...withCalls({ ...video, tracks: [picture('mira', 'camera')] }),
    devices: { ...home.devices, camera: { ...home.devices.camera, state: 'busy', message: 'Another program uses Logitech BRIO. The call goes on without your picture. Close that program, or choose another camera.' } },
  },
  'view-echo': withCalls(call('active', withEcho)),
  'view-echo-test': withCalls(call('active', { ...withEcho, echo_test: tested })),
  'view-echo-test-ended': withCalls(ended('hangup_local', 'You hung up', { can_retry: false }, {
    ...lived, peer: withEcho.peer, echo_test: {
      ...tested, text: 'You are hard to hear', speech_dbfs: -51.3, peak_dbfs: -34.2, returned_dbfs: -38.1, echo_return_loss_db: 2.4, faults: [
        { code: 'too_quiet', broken: false, text: 'You are hard to hear', works: 'Ahoy makes you louder, and the noise of the room with you.', do: "Raise the microphone's level in the system's sound settings, or move closer to it." },
        { code: 'own_speaker_heard', broken: false, text: 'The microphone hears your speaker nearly as loud as you do', works: 'Ahoy takes the echo out if that is on in the settings, at some cost for your voice when both talk.', do: 'Turn the speaker down, move the microphone away from it, or use a headset.' },
      ],
    },
  })),
  'view-reconnecting': withCalls({ ...active, state: 'reconnecting', reconnecting_since_ms: NOW - 8000, path: null }),
  'view-interrupted': withCalls({ ...active, state: 'interrupted', path: null, quality: null }),
  'view-held': withCalls({ ...active, hold: { local: true, remote: false } }),
  'view-held-remote': withCalls({ ...active, hold: { local: false, remote: true } }),
  'view-ended-hangup_local': withCalls(ended('hangup_local', 'Call ended', { can_retry: true }, lived)),
  'view-ended-hangup_remote': withCalls(ended('hangup_remote', 'Mira ended the call', {}, lived)),
  'view-ended-declined': withCalls(ended('declined', 'Declined', { message: "Can't talk now. I'll call you later." })),
  'view-ended-busy': withCalls(ended('busy', 'Mira is in another call')),
  'view-ended-cancelled': withCalls(ended('cancelled', 'Call cancelled')),
  'view-ended-timeout': withCalls(ended('timeout', 'No answer')),
  'view-ended-offline': withCalls(ended('offline', "Mira can't be reached")),
  'view-ended-elsewhere': withCalls(ended('elsewhere', 'Answered on another device', { can_retry: false }, { direction: 'incoming' })),
  'view-ended-failed': withCalls(ended('failed', 'The secure connection could not be made: the other side has another key than before.')),
  'view-ended-lost': withCalls(ended('lost', 'Connection lost', {}, lived)),
  'view-ended-crashed': withCalls(ended('crashed', 'Ahoy stopped during this call', {}, lived)),
  'view-ended-replaced': withCalls(ended('replaced', 'Replaced by a newer call', { can_retry: false })),
  'view-device-lost': {
    ...withCalls(active),
    devices: { ...home.devices, microphone: { id: 'alsa_input.usb-Blue_Yeti-00.analog-stereo', state: 'missing', message: 'Blue Yeti Stereo was unplugged. Using Built-in Audio.' } },
    notices: [{ id: 'device-lost-microphone', text: 'Blue Yeti Stereo was unplugged', works: 'The call goes on with Built-in Audio.', do: 'Plug it in again to switch back.' }],
  },
  'view-no-sound': {
    ...home,
    devices: {
      ...home.devices, microphones: [], speakers: [],
      microphone: { id: 'default', state: 'no_sound', message: 'This computer has no sound library (libasound.so.2). Install the package libasound2.' },
      speaker: { id: 'default', state: 'no_sound', message: 'This computer has no sound library (libasound.so.2). Install the package libasound2.' },
    },
  },
}

const who = people.mira
const c = id('call 1')
/** @type {Record<string, Record<string, unknown>>} */
const commands = {
  set_name: { name: 'Ann Lee' },
  dial: { who, media: 'voice' },
  answer: { call: c }, answer_voice: { do: 'answer', call: c, media: 'voice' }, hang_up: { call: c },
  picture: { call: c, track: 'camera', on: true }, picture_source: { do: 'picture', call: c, track: 'screen', on: true, source: 'browser' },
  dial_video: { do: 'dial', who, media: 'video' }, rejoin: { call: c }, dismiss: { call: c },
  decline: { call: c }, decline_message: { do: 'decline', call: c, message: "Can't talk now. I'll call you later." },
  hold: { call: c, on: true }, record: { call: c, on: true }, mute: { call: c, on: true },
  add_contact: { card }, add_nearby: { peer_id: people.hanne }, remove_contact: { peer_id: who },
  rename_contact: { peer_id: who, name: 'Mira O.' }, verify_contact: { peer_id: who, verified: true }, hide_address: { peer_id: who, on: true },
  choose_device: { role: 'microphone', id: 'alsa_input.usb-Blue_Yeti-00.analog-stereo' },
  test_sound: {}, monitor_microphone: { on: true },
  set_settings: { theme: 'dark', ring_volume: 60 },
  revoke_session: { id: id('session 2') }, clear_recent: {}, mark_recent_seen: {},
}
for (const [name, body] of Object.entries(commands)) {
  files['command-' + name.replaceAll('_', '-')] = { type: 'command', id: id('command ' + name), command: { do: name, ...body } }
}
const replyOk = (/** @type {string} */ name, /** @type {unknown} */ result) => ({ type: 'reply', id: id('command ' + name), ok: true, result })
const replyError = (/** @type {string} */ name, /** @type {unknown} */ error) => ({ type: 'reply', id: id('command ' + name), ok: false, error })
Object.assign(files, {
  'media-auth': { type: 'auth', token: bytes('token').toString('base64url') },
  'media-watch': { type: 'watch', streams: [{ stream: 1, call: c, peer_id: people.mira, track: 'camera', width: 1248, height: 612 }] },
  'media-key': { type: 'key', stream: 1 },
  'media-capturing': { type: 'capturing', track: 'camera', on: true },
  'media-ready': { type: 'ready' },
  'media-encode': { type: 'encode', track: 'camera', plan: { bitrate_bps: 900_000, width: 1280, height: 720, frame_rate: 30 }, keys: 2 },
  'media-bye': { type: 'bye', reason: 'revoked' },
  'message-auth': { type: 'auth', token: bytes('token').toString('base64url') },
  'message-levels-on': { type: 'levels', on: true },
  'message-levels': { type: 'levels', microphone: -32.1, speaker: -40.5, peers: { [people.mira]: -30.5 }, speaking_while_muted: false, microphone_silent_ms: 0 },
  'message-bye': { type: 'bye', reason: 'revoked' },
  'reply-dial': replyOk('dial', { call: c }),
  'reply-add-contact': replyOk('add_contact', { peer_id: who, name: 'Mira Okafor' }),
  'error-bad-card': replyError('add_contact', {
    what: 'This is not an Ahoy card, or a part of it is missing.', works: 'Nothing was changed.', do: 'Ask the other person to copy the whole card and paste it again.',
  }),
  'error-unknown-contact': replyError('dial', {
    what: 'This person is not in your contacts any more.', works: 'Your other contacts are as they were.', do: 'Add the person again with their card.',
  }),
  'error-call-over': replyError('answer', {
    what: 'The call is already over.', works: 'You can call back.', do: 'Press Call back.',
  }),
})

let differing = 0
const names = new Set(Object.keys(files).map((name) => name + '.json'))
for (const [name, value] of Object.entries(files)) {
  const path = folder + name + '.json'
  const text = JSON.stringify(value, null, 1) + '\n'
  let before = ''
  try {
    before = readFileSync(path, 'utf8')
  } catch { /* not there yet */ }
  if (before === text) continue
  differing += 1
  if (check) console.error(`${name}.json differs from tools/golden.mjs`)
  else writeFileSync(path, text)
}
for (const name of readdirSync(folder)) {
  if (!name.endsWith('.json') || names.has(name)) continue
  differing += 1
  if (check) console.error(`${name} is not made by tools/golden.mjs`)
  else unlinkSync(folder + name)
}
if (check && differing > 0) process.exit(1)
console.log(`${Object.keys(files).length} samples, ${differing} ${check ? 'differing' : 'written'}`)
