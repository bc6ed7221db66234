// Cells of the matrix: two people in two networks, maybe with a relay that both know; how their call goes is asserted.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { introduce, startDaemon, until } from './daemon.mjs'
import { Lab, SITES, directIsPossible, within } from './lab.mjs'
import { isHeard } from './sound.mjs'

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
    const daemon = await startDaemon({ folder, wrap: within(space), args: ['--mdns', 'off', ...(options.args ?? [])], mic: options.mic, speaker: options.speaker })
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
  assert.equal((await bob.cli('answer')).status, 0)
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

/** Two sites of a kind and a relay: the call must come up, and be direct exactly where it can be. */
export async function pair(one, other, prefix) {
  const cell = new Cell(prefix)
  try {
    const anchors = (await cell.startRelay()).flatMap((address) => ['--bootstrap', address])
    const [a, b] = [await cell.lab.site('a', 1, one), await cell.lab.site('b', 2, other)]
    const [ann, bob] = await Promise.all([
      cell.daemon(a, { mic: 'tone:440', args: ['--relay', 'off', ...anchors] }),
      cell.daemon(b, { mic: 'tone:600', args: ['--relay', 'off', ...anchors] }),
    ])
    await reachable(cell, ann, bob, one, other)
    await introduce(ann, bob)
    const kind = directIsPossible(one, other) ? 'direct' : 'relay'
    const { dialled, answered } = await talk(ann, bob)
    const first = [ann, bob].map((daemon) => daemon.events().find((each) => each.event === 'path')?.kind)
    await settles(ann, bob, kind)
    return { one, other, kind, first: first.join('/'), dialled, answered }
  } finally {
    await cell.down()
  }
}

/** Waits until both are where the other can find them: at the relay, if nobody reaches them straight. */
async function reachable(cell, ann, bob, one, other) {
  for (const [daemon, kind] of [[ann, one], [bob, other]]) {
    if (SITES[kind].length === 0) continue
    await until('reached through the relay', async () => (await daemon.json('me')).addresses.some((address) => address.includes('p2p-circuit')), 30)
  }
}
