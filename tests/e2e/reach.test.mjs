// Networks that let little through: two that block UDP and everything that comes in, and one behind a proxy that knows
// CONNECT alone. Calls go over TCP lanes that meet at a relay's door; the relay and the wire see nothing of them.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { introduce, startDaemon, until } from './lib/daemon.mjs'
import { isHeard } from './lib/sound.mjs'

const run = (program, ...words) => execFileSync(program, words, { stdio: 'pipe' })
const ip = (...words) => run('ip', ...words)
const PROXY = fileURLToPath(new URL('./lib/connect_proxy.mjs', import.meta.url))
const possible = (() => {
  try {
    ip('netns', 'add', 'ahoy-reach')
  } catch {
    return false
  }
  try {
    ip('netns', 'exec', 'ahoy-reach', 'nft', 'list', 'tables')
    return true
  } catch {
    return false
  } finally {
    ip('netns', 'del', 'ahoy-reach')
  }
})()

/** What may pass in a network: nothing comes in unasked, and what goes out must fit `out`. */
const firewall = (out) => `
table inet f {
  chain in { type filter hook input priority 0; policy drop; iif lo accept; ct state established,related accept; meta l4proto ipv6-icmp accept; }
  chain out { type filter hook output priority 0; policy drop; oif lo accept; ct state established,related accept; ${out} accept; }
}`
const NO_UDP = firewall('meta l4proto tcp')
const PROXY_ONLY = firewall('ip daddr 203.0.113.8 tcp dport 3128')

/** Machines on one stretch of internet, 203.0.113.1 and on. @param {Record<string, string | undefined>} rules by name */
async function machines(rules, body) {
  const names = Object.keys(rules)
  const space = (name) => `ahoy-reach-${name}`
  const children = []
  try {
    ip('netns', 'add', space('net'))
    ip('-n', space('net'), 'link', 'add', 'sw', 'type', 'bridge')
    ip('-n', space('net'), 'link', 'set', 'sw', 'up')
    names.forEach((name, n) => {
      ip('netns', 'add', space(name))
      ip('link', 'add', 'wan', 'netns', space(name), 'type', 'veth', 'peer', 'name', `p${n}`, 'netns', space('net'))
      ip('-n', space('net'), 'link', 'set', `p${n}`, 'master', 'sw', 'up')
      ip('-n', space(name), 'addr', 'add', `203.0.113.${{ proxy: 8, relay: 9 }[name] ?? n + 1}/24`, 'dev', 'wan')
      for (const device of ['lo', 'wan']) ip('-n', space(name), 'link', 'set', device, 'up')
      ip('-n', space(name), 'route', 'add', 'default', 'dev', 'wan')
      if (rules[name]) execFileSync('ip', ['netns', 'exec', space(name), 'nft', '-f', '-'], { input: rules[name] })
    })
    const within = (name) => ['ip', 'netns', 'exec', space(name)]
    const start = (name, program, ...words) => {
      const child = spawn(within(name)[0], [...within(name).slice(1), program, ...words], { stdio: ['ignore', 'pipe', 'ignore'] })
      children.push(child)
      return child
    }
    await body({ within, start })
  } finally {
    for (const child of children) child.kill('SIGKILL')
    for (const name of [...names, 'net']) {
      try {
        ip('netns', 'del', space(name))
      } catch { /* it was never made */ }
    }
  }
}

/** A relay that also listens where the web does. */
const startRelay = (within) => startDaemon({
  wrap: within('relay'),
  args: ['--mdns', 'off', '--relay', 'public', '--listen', '/ip4/203.0.113.9/tcp/443/tls/ws', '--listen', '/ip4/203.0.113.9/udp/4001/quic-v1'],
})

async function talk(ann, bob, kind) {
  await until('both know where the other is', async () => (await ann.json('me')).addresses.some((a) => a.includes('p2p-circuit')) && (await bob.json('me')).addresses.some((a) => a.includes('p2p-circuit')), 60)
  await introduce(ann, bob)
  const { peer_id } = await bob.json('me')
  void ann.cli('call', peer_id)
  await bob.event('incoming')
  await until('Bob answers', async () => (await bob.cli('answer')).status === 0)
  await until('both hear each other', () => isHeard(ann.recording, 600) && isHeard(bob.recording, 440), 60)
  for (const one of [ann, bob]) await until(`sound goes by ${kind}`, async () => (await one.json('stats')).calls[0].peers[0].path.kind === kind)
  const [dial, heard] = ['dial', 'first_audio'].map((name) => ann.events().find((each) => each.event === name).t_us)
  return (heard - dial) / 1e6
}

test('two networks that block UDP talk over TCP lanes that meet at a relay, which sees nothing of it', { skip: !possible && 'needs the right to make networks' }, async (t) => {
  await machines({ ann: NO_UDP, bob: NO_UDP, relay: undefined }, async ({ within, start }) => {
    const folder = mkdtempSync(join(tmpdir(), 'ahoy-reach-'))
    const capture = join(folder, 'relay.pcap')
    const tcpdump = start('relay', 'tcpdump', '-i', 'wan', '-U', '-s', '0', '-w', capture)
    const relay = await startRelay(within)
    const bootstrap = `/ip4/203.0.113.9/tcp/443/tls/ws/p2p/${(await relay.json('me')).peer_id}`
    const args = ['--mdns', 'off', '--bootstrap', bootstrap]
    const ann = await startDaemon({ mic: 'tone:440', wrap: within('ann'), args })
    const bob = await startDaemon({ mic: 'tone:600', wrap: within('bob'), args })
    const seconds = await talk(ann, bob, 'tcp')
    t.diagnostic(`dial to first audio ${seconds.toFixed(2)} s, answered by hand`)
    const faults = (await ann.json('doctor', '--no-call')).map((check) => check.id)
    assert.ok(faults.includes('udp_blocked'), faults.join())
    await ann.cli('hangup')
    const ids = await Promise.all([ann, bob].map(async (one) => (await one.json('me')).peer_id))
    await Promise.all([ann.stop(), bob.stop(), relay.stop()])
    tcpdump.kill('SIGINT')
    await new Promise((resolve) => tcpdump.on('exit', resolve))
    const wire = readFileSync(capture)
    assert.ok(wire.length > 100_000, `${wire.length}`)
    for (const secret of ['ahoy:c/', 'ahoy-session', ...ids]) assert.equal(wire.includes(Buffer.from(secret)), false, secret)
    rmSync(folder, { recursive: true, force: true })
  })
})

test('a network with nothing but a proxy that asks who it is gets its call', { skip: !possible && 'needs the right to make networks' }, async (t) => {
  await machines({ ann: PROXY_ONLY, bob: NO_UDP, relay: undefined, proxy: undefined }, async ({ within, start }) => {
    const proxy = start('proxy', process.execPath, PROXY, '3128', 'ann:pw')
    await new Promise((resolve) => proxy.stdout.once('data', resolve))
    const relay = await startRelay(within)
    const bootstrap = `/ip4/203.0.113.9/tcp/443/tls/ws/p2p/${(await relay.json('me')).peer_id}`
    const args = ['--mdns', 'off', '--bootstrap', bootstrap]
    const refused = await startDaemon({ wrap: within('ann'), args, env: { HTTPS_PROXY: 'http://203.0.113.8:3128' } })
    await until('the doctor names the proxy', async () => (await refused.json('doctor', '--no-call')).some((check) => check.id === 'proxy_authentication'))
    await refused.stop()
    const ann = await startDaemon({ mic: 'tone:440', wrap: within('ann'), args: [...args, '--proxy', 'http://ann:pw@203.0.113.8:3128'] })
    const bob = await startDaemon({ mic: 'tone:600', wrap: within('bob'), args })
    const seconds = await talk(ann, bob, 'tcp')
    t.diagnostic(`dial to first audio ${seconds.toFixed(2)} s, answered by hand`)
    await ann.cli('hangup')
    await Promise.all([ann.stop(), bob.stop(), relay.stop()])
  })
})
