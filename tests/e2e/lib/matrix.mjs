// Cells of the matrix: two people in two networks, maybe with a relay that both know; how their call goes is asserted.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { introduce, startDaemon, until } from './daemon.mjs'
import { BOXES, Lab, SITES, directIsPossible, within } from './lab.mjs'
import { isHeard, samples } from './sound.mjs'

/** Daemons of one cell, each in its namespace, with folders of their own. */
export class Cell {
  constructor(prefix) {
    this.lab = new Lab(prefix)
    this.folder = mkdtempSync(join(tmpdir(), `${prefix}-`))
    this.daemons = []
  }

  /** A daemon in a namespace. @param {string} space @param {object} [options] of `startDaemon` */
  async daemon(space, options = {}) {
    const folder = mkdtempSync(join(this.folder, 'd-'))
    const args = ['--mdns', options.mdns ?? 'off', ...(options.args ?? [])]
    const daemon = await startDaemon({ folder, wrap: within(space), args, mic: options.mic, speaker: options.speaker })
    this.daemons.push(daemon)
    return daemon
  }

  /** The relay, which everybody is told as a bootstrap; its address with its id. */
  async startRelay(args = []) {
    const listen = ['/ip4/0.0.0.0/udp/4001/quic-v1', '/ip4/0.0.0.0/tcp/4001', '/ip6/::/udp/4001/quic-v1'].flatMap((address) => ['--listen', address])
    this.relay = await this.daemon(this.lab.relay, { mic: 'null', speaker: 'null', args: [...listen, '--relay', 'public', ...args] })
    const { peer_id } = await this.relay.json('me')
    return [`/ip4/20.0.9.2/udp/4001/quic-v1/p2p/${peer_id}`, `/ip6/2001:db8:9::2/udp/4001/quic-v1/p2p/${peer_id}`]
  }

  /** One more relay, at a site of its own; its address with its id. @param {number} n of the site, 3 to 8 */
  async anotherRelay(n) {
    const space = await this.lab.site(`relay${n}`, n, 'open')
    const daemon = await this.daemon(space, { mic: 'null', speaker: 'null', args: ['--listen', '/ip4/0.0.0.0/udp/4001/quic-v1', '--relay', 'public'] })
    this.others = [...(this.others ?? []), { space, daemon }]
    return `/ip4/20.0.${n}.2/udp/4001/quic-v1/p2p/${(await daemon.json('me')).peer_id}`
  }

  /** Relays by how much they sent in a second, the busiest first. */
  async busiest() {
    const all = [{ space: this.lab.relay, daemon: this.relay }, ...(this.others ?? [])]
    const sent = () => all.map(({ space }) => this.lab.sent(space, 'wan'))
    const before = sent()
    await pause(1)
    const busy = sent().map((bytes, at) => ({ ...all[at], bytes: bytes - before[at] }))
    return busy.sort((one, other) => other.bytes - one.bytes)
  }

  async down() {
    await Promise.all(this.daemons.map((daemon) => daemon.kill().catch(() => {})))
    this.lab.down()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Ann calls Bob, who answers; milliseconds from the dial to the first sound of each. */
export async function talk(ann, bob) {
  const { peer_id } = await bob.json('me')
  const seen = [ann, bob].map((daemon) => daemon.events().length)
  void ann.cli('call', peer_id)
  const incoming = await bob.event('incoming', seen[1], 40)
  // The trace is a moment ahead of the command line.
  await until('Bob can answer', async () => (await bob.cli('answer')).status === 0, 5)
  const [first, other] = await Promise.all([ann.event('first_audio', seen[0], 40), bob.event('first_audio', seen[1], 40)])
  const dial = ann.events().slice(seen[0]).find((each) => each.event === 'dial')
  const active = bob.events().slice(seen[1]).find((each) => each.event === 'accepted') ?? incoming
  await until('both hear each other', () => isHeard(ann.recording, 600) && isHeard(bob.recording, 440), 20)
  return { dialled: (Math.max(first.t_us, other.t_us) - dial.t_us) / 1000, answered: (Math.max(first.t_us, other.t_us) - active.t_us) / 1000 }
}

/** The path that a daemon's call takes. */
export const pathOf = async (daemon) => (await daemon.json('stats')).calls[0]?.peers[0]?.path

/** Waits until both ends agree on a kind of path. */
export async function settles(ann, bob, kind, seconds = 12) {
  let last
  try {
    await until(`the path is ${kind}`, async () => {
      last = [await pathOf(ann), await pathOf(bob)]
      return last.every((path) => path?.kind === kind)
    }, seconds)
  } catch {
    throw new Error(`the path is ${JSON.stringify(last)}, not ${kind}`)
  }
}

/** Seconds that a recording holds so far. */
export const length = (daemon) => samples(daemon.recording).length / 48_000

/**
 * The longest time, in milliseconds, that a tone was not heard between two moments of a recording: 10 ms blocks in which it
 * is weaker than a third of what it is when it is heard.
 */
export function longestGap(daemon, hertz, from, to) {
  const n = 480
  const part = samples(daemon.recording).subarray(Math.round(from * 48_000), Math.round(to * 48_000))
  const k = 2 * Math.cos((2 * Math.PI * hertz) / 48_000)
  const strengths = []
  for (let at = 0; at + n <= part.length; at += n) {
    let [a, b] = [0, 0]
    for (let i = 0; i < n; i += 1) [a, b] = [part[at + i] / 32768 + k * a - b, a]
    strengths.push((2 / n) * Math.sqrt(Math.max(0, a * a + b * b - k * a * b)))
  }
  // Most of a part may be silence.
  const usual = [...strengths].sort((a, b) => a - b)[Math.floor(strengths.length * 0.9)]
  let [longest, now] = [0, 0]
  for (const strength of strengths) {
    now = strength < usual / 3 ? now + 1 : 0
    longest = Math.max(longest, now)
  }
  return longest * 10
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

/** Does something to a running call, lets it go on for a while, and gives the longest gap that either heard. */
export async function disturb(ann, bob, what, seconds = 5) {
  await pause(1)
  const before = [length(ann), length(bob)]
  await what()
  await pause(seconds)
  await until('both hear each other again', () => isHeard(ann.recording, 600) && isHeard(bob.recording, 440), 30)
  const after = [length(ann), length(bob)]
  return Math.max(longestGap(ann, 600, before[0], after[0]), longestGap(bob, 440, before[1], after[1]))
}

/** Ann and Bob at two sites, with a relay that both know, each the other's contact. */
export async function couple(cell, one, other, more = []) {
  const anchors = [...(await cell.startRelay()), ...more].flatMap((address) => ['--bootstrap', address])
  const [a, b] = [await cell.lab.site('a', 1, one), await cell.lab.site('b', 2, other)]
  const [ann, bob] = await Promise.all([
    cell.daemon(a, { mic: 'tone:440', args: ['--relay', 'off', ...anchors] }),
    cell.daemon(b, { mic: 'tone:600', args: ['--relay', 'off', ...anchors] }),
  ])
  await reachable(ann, bob, one, other)
  await introduce(ann, bob)
  return [ann, bob, a, b]
}

/** Two sites of a kind and a relay: the call must come up, and be direct exactly where it can be. */
export async function pair(one, other, prefix) {
  const cell = new Cell(prefix)
  try {
    const [ann, bob] = await couple(cell, one, other)
    const kind = directIsPossible(one, other) ? 'direct' : 'relay'
    const { dialled, answered } = await talk(ann, bob)
    const first = [ann, bob].map((daemon) => daemon.events().find((each) => each.event === 'path')?.kind)
    await settles(ann, bob, kind)
    // In a direct call the relay and the other saw each of them.
    if (kind === 'direct') await Promise.all([knowsItsNat(ann, one), knowsItsNat(bob, other)])
    return { one, other, kind, first: first.join('/'), dialled, answered }
  } finally {
    await cell.down()
  }
}

/** Waits until a daemon says of its NAT what it is. */
async function knowsItsNat(daemon, site) {
  const boxes = SITES[site].map((box) => BOXES[box][0])
  const expected = boxes.length === 0 ? 'at its own address' : boxes.every((depends) => depends === 'nothing') ? 'endpoint-independent' : 'address-dependent'
  let said
  try {
    await until('the NAT is known', async () => {
      said = (await daemon.json('doctor', '--no-call')).find((check) => check.id === 'nat')?.text
      return said?.includes(expected)
    }, 10)
  } catch {
    throw new Error(`of a NAT of ${site} it says: ${said}`)
  }
}

/** Waits until both are where the other can find them: at the relay, if nobody reaches them straight. */
async function reachable(ann, bob, one, other) {
  for (const [daemon, kind] of [[ann, one], [bob, other]]) {
    if (SITES[kind].length === 0) continue
    await until('reached through the relay', async () => (await daemon.json('me')).addresses.some((address) => address.includes('p2p-circuit')), 30)
  }
}

/** Cells that are no pair of sites: how the two are placed, and the path that their call must take. */
export const SPECIAL = {
  'same box': {
    kind: 'direct',
    address: 'lan',
    async place(cell, anchors) {
      const a = await cell.lab.site('a', 1, 'port')
      return [[a, { args: anchors }], [cell.lab.neighbour('b', 1, 'a'), { args: anchors }]]
    },
  },
  'symmetric box that is asked for ports': {
    // Two symmetric boxes have no direct path; one that passes our ports on is as good as none.
    kind: 'direct',
    async place(cell, anchors) {
      return [[await cell.lab.site('a', 1, ['asked']), { args: anchors }], [await cell.lab.site('b', 2, 'symmetric'), { args: anchors }]]
    },
  },
  'no default route': {
    kind: 'direct',
    address: 'lan',
    mdns: true,
    async place(cell) {
      const [a, b] = [cell.lab.space('a'), cell.lab.space('b')]
      cell.lab.wire(a, 'lan', '192.168.77.1/24', b, 'lan', '192.168.77.2/24')
      // What has no default route still needs one for multicast.
      for (const host of [a, b]) cell.lab.ip(host, 'route', 'add', '224.0.0.0/4', 'dev', 'lan')
      return [[a, { mdns: 'on' }], [b, { mdns: 'on' }]]
    },
  },
  'IPv6 alone and IPv4 alone': {
    kind: 'relay',
    async place(cell, anchors) {
      return [[cell.lab.v6site('a', 1), { args: anchors }], [await cell.lab.site('b', 2, 'port'), { args: anchors }]]
    },
  },
  'all bootstraps dead': {
    kind: 'direct',
    async place(cell) {
      const dead = ['--bootstrap', '/ip4/20.0.9.77/udp/4001/quic-v1/p2p/12D3KooWMyDf9dpWmxcPZCtUCs78nHYX7AyyCwmwVcfrmJ9P5Wha']
      return [[await cell.lab.site('a', 1, 'open'), { args: dead }], [await cell.lab.site('b', 2, 'port'), { args: dead }]]
    },
  },
}

/** One of [`SPECIAL`]. */
export async function special(name, prefix) {
  const { kind, address, mdns, place } = SPECIAL[name]
  const cell = new Cell(prefix)
  try {
    const anchors = (await cell.startRelay()).flatMap((each) => ['--bootstrap', each])
    const [[a, of_a], [b, of_b]] = await place(cell, anchors)
    const args = (options) => ({ ...options, args: ['--relay', 'off', ...(options.args ?? [])] })
    const [ann, bob] = await Promise.all([
      cell.daemon(a, { mic: 'tone:440', ...args(of_a) }),
      cell.daemon(b, { mic: 'tone:600', ...args(of_b) }),
    ])
    const { peer_id } = await bob.json('me')
    if (mdns) await until('Ann finds Bob', async () => (await ann.json('contacts')).nearby.some((each) => each.peer_id === peer_id))
    else {
      const relayed = of_a.args === anchors
      if (relayed) await until('Bob is reached through the relay', async () => (await bob.json('me')).addresses.some((each) => each.includes('p2p-circuit')))
      await introduce(ann, bob)
      if (!relayed) await until('Bob has found Ann', async () => bob.events().some((each) => each.event === 'peer_found'))
    }
    const { dialled, answered } = await talk(ann, bob)
    const first = [ann, bob].map((daemon) => daemon.events().find((each) => each.event === 'path')?.kind)
    await settles(ann, bob, kind)
    const path = await pathOf(ann)
    if (address && path.address !== address) throw new Error(`the address is ${path.address}, not ${address}`)
    return { one: name, other: '', kind, first: first.join('/'), dialled, answered }
  } finally {
    await cell.down()
  }
}

/** Two people whom nothing keeps apart, but Ann hides her address from Bob: bytes of what her machine sent straight to his in a whole call. */
export async function hidden(prefix) {
  const cell = new Cell(prefix)
  try {
    const [ann, bob, a] = await couple(cell, 'open', 'open')
    const { peer_id } = await bob.json('me')
    const done = await ann.cli('contacts', 'hide', peer_id)
    if (done.status !== 0) throw new Error(done.stderr)
    const them = async () => (await ann.json('contacts')).contacts.find((each) => each.peer_id === peer_id)
    if (!(await them()).hide_address) throw new Error('it is not hidden')
    // What stood straight goes, and comes again through the relay.
    await pause(3)
    await until('they are connected', async () => (await them()).presence === 'online')
    const file = join(cell.folder, 'straight.pcap')
    const dump = spawn('ip', ['netns', 'exec', a, 'tcpdump', '-i', 'wan', '-U', '-w', file, 'src host 20.0.1.2 and dst host 20.0.2.2'], { stdio: ['ignore', 'ignore', 'pipe'] })
    const over = new Promise((resolve) => dump.once('exit', resolve))
    await new Promise((resolve) => dump.stderr.once('data', resolve))
    await talk(ann, bob)
    await settles(ann, bob, 'relay')
    await pause(3)
    await ann.cli('hangup')
    dump.kill('SIGINT')
    await over
    // 24 bytes are the head of the file.
    return statSync(file).size - 24
  } finally {
    await cell.down()
  }
}

/** What happens under a running call, and how long either may hear nothing, in milliseconds. */
export const EVENTS = {
  'cable out, another path stands': {
    gap: 100,
    async run(cell) {
      // Two cables between the same two machines.
      const [a, b] = [cell.lab.space('a'), cell.lab.space('b')]
      cell.lab.wire(a, 'one', '192.168.77.1/24', b, 'one', '192.168.77.2/24')
      cell.lab.wire(a, 'two', '192.168.78.1/24', b, 'two', '192.168.78.2/24')
      for (const host of [a, b]) cell.lab.ip(host, 'route', 'add', '224.0.0.0/4', 'dev', 'one')
      const [ann, bob] = [await cell.daemon(a, { mic: 'tone:440', mdns: 'on' }), await cell.daemon(b, { mic: 'tone:600', mdns: 'on' })]
      const { peer_id } = await bob.json('me')
      await until('Ann finds Bob', async () => (await ann.json('contacts')).nearby.some((each) => each.peer_id === peer_id))
      await talk(ann, bob)
      await pause(2)
      const before = ['one', 'two'].map((device) => cell.lab.sent(a, device))
      await pause(1)
      const [one, two] = ['one', 'two'].map((device, n) => cell.lab.sent(a, device) - before[n])
      return disturb(ann, bob, () => cell.lab.ip(a, 'link', 'set', one > two ? 'one' : 'two', 'down'))
    },
  },
  'mapping forgotten, relay stands by': {
    gap: 300,
    async run(cell) {
      const [ann, bob] = await couple(cell, 'port', 'port')
      await talk(ann, bob)
      await settles(ann, bob, 'direct')
      return disturb(ann, bob, () => cell.lab.forget())
    },
  },
  'relay killed under a direct call': {
    gap: 100,
    async run(cell) {
      const [ann, bob] = await couple(cell, 'port', 'port')
      await talk(ann, bob)
      await settles(ann, bob, 'direct')
      return disturb(ann, bob, () => cell.relay.kill())
    },
  },
  'relay in use killed, another stands by': {
    gap: 100,
    async run(cell) {
      const [ann, bob] = await couple(cell, 'symmetric', 'symmetric', [await cell.anotherRelay(8)])
      await talk(ann, bob)
      await settles(ann, bob, 'relay')
      await pause(3)
      // Whichever carries the sound sends more.
      const [busiest] = await cell.busiest()
      return disturb(ann, bob, () => busiest.daemon.kill())
    },
  },
  'two relays killed, five seconds apart': {
    gap: 2_000,
    async run(cell) {
      const more = [await cell.anotherRelay(7), await cell.anotherRelay(8)]
      const [ann, bob] = await couple(cell, 'symmetric', 'symmetric', more)
      await talk(ann, bob)
      await settles(ann, bob, 'relay')
      await pause(3)
      const [first] = await cell.busiest()
      return disturb(ann, bob, async () => {
        await first.daemon.kill()
        await pause(4)
        // To look takes a second.
        const [second] = await cell.busiest()
        await second.daemon.kill()
      })
    },
  },
  'mapping forgotten, nothing stands by': {
    gap: 2_000,
    async run(cell) {
      // They know each other and no relay.
      const [a, b] = [await cell.lab.site('a', 1, 'open'), await cell.lab.site('b', 2, 'port')]
      const [ann, bob] = [await cell.daemon(a, { mic: 'tone:440' }), await cell.daemon(b, { mic: 'tone:600' })]
      await introduce(ann, bob)
      const { peer_id } = await bob.json('me')
      await until('they are connected', async () => (await ann.json('contacts')).contacts.some((each) => each.peer_id === peer_id && each.presence === 'online'))
      await talk(ann, bob)
      await settles(ann, bob, 'direct')
      return disturb(ann, bob, () => cell.lab.forget())
    },
  },
  'address renumbered': {
    gap: 2_000,
    async run(cell) {
      const [ann, bob, a] = await couple(cell, 'open', 'port')
      await talk(ann, bob)
      return disturb(ann, bob, () => {
        // With the last address of a net goes the way to it.
        cell.lab.ip(a, 'addr', 'del', '20.0.1.2/24', 'dev', 'wan')
        cell.lab.ip(a, 'addr', 'add', '20.0.1.7/24', 'dev', 'wan')
        cell.lab.ip(a, 'route', 'replace', 'default', 'via', '20.0.1.1')
      }, 8)
    },
  },
  'asleep for ten seconds': {
    // Nothing is heard while one sleeps; what counts is how long after it.
    gap: 13_000,
    async run(cell) {
      const [ann, bob] = await couple(cell, 'open', 'port')
      await talk(ann, bob)
      const gap = await disturb(ann, bob, async () => {
        ann.child.kill('SIGSTOP')
        await pause(10)
        ann.child.kill('SIGCONT')
      })
      if ((await ann.json('stats')).calls.length !== 1) throw new Error('the call did not survive')
      return gap
    },
  },
}

/** One of [`EVENTS`]; its gap. */
export async function happens(name, prefix) {
  const { gap, run } = EVENTS[name]
  const cell = new Cell(prefix)
  try {
    const heard = await run(cell)
    if (heard > gap) throw new Error(`${heard} ms without sound, ${gap} at most`)
    return heard
  } finally {
    await cell.down()
  }
}
