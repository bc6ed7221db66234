// Two machines of one network: they find each other by mDNS, ring although they are strangers, talk; what passes between
// them holds neither names nor sound in the clear.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDaemon, until } from './lib/daemon.mjs'
import { isHeard } from './lib/sound.mjs'

const ip = (...words) => execFileSync('ip', words, { stdio: 'pipe' })
const possible = (() => {
  try {
    ip('netns', 'add', 'ahoy-a')
  } catch {
    return false
  }
  try {
    // In a chroot a network can be made, and nothing started in it.
    ip('netns', 'exec', 'ahoy-a', 'true')
    return true
  } catch {
    ip('netns', 'del', 'ahoy-a')
    return false
  }
})()

// Segments of TCP until a call is ten seconds old: 300, a thousand while each connection was tried with AutoNAT.
const MOST_BESIDE = 600

test('two machines of one network find each other and talk', { skip: !possible && 'needs the right to make networks' }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ahoy-net-'))
  ip('netns', 'add', 'ahoy-b')
  try {
    ip('link', 'add', 'lan', 'netns', 'ahoy-a', 'type', 'veth', 'peer', 'name', 'lan', 'netns', 'ahoy-b')
    for (const [n, name] of [[1, 'ahoy-a'], [2, 'ahoy-b']]) {
      ip('-n', name, 'addr', 'add', `192.168.77.${n}/24`, 'dev', 'lan')
      for (const device of ['lo', 'lan']) ip('-n', name, 'link', 'set', device, 'up')
      ip('-n', name, 'route', 'add', 'default', 'dev', 'lan')
    }
    const capture = join(folder, 'wire.pcap')
    const tcpdump = spawn('ip', ['netns', 'exec', 'ahoy-a', 'tcpdump', '-i', 'lan', '-U', '-s', '0', '-w', capture, 'not port 5353'], { stdio: 'ignore' })
    const captured = new Promise((resolve) => tcpdump.on('exit', resolve))
    const within = (name) => ['ip', 'netns', 'exec', name]
    const ann = await startDaemon({ mic: 'tone:440', wrap: within('ahoy-a') })
    const bob = await startDaemon({ mic: 'tone:600', wrap: within('ahoy-b') })
    const { peer_id } = await bob.json('me')
    await until('Ann finds Bob', async () => (await ann.json('contacts')).nearby.some((each) => each.peer_id === peer_id))
    void ann.cli('call', peer_id)
    await bob.event('incoming')
    assert.equal((await bob.cli('answer')).status, 0)
    await until('both hear each other', () => isHeard(ann.recording, 600) && isHeard(bob.recording, 440))
    const stats = (await ann.json('stats')).calls[0].peers[0]
    assert.deepEqual([stats.path.kind, stats.path.address], ['direct', 'lan'])
    // Nothing but the call fills a narrow link in its first seconds: what else there is to say is a few kilobytes.
    const beside = (name) => {
      const [names, values] = execFileSync('ip', ['netns', 'exec', name, 'cat', '/proc/net/snmp'], { encoding: 'utf8' }).split('\n').filter((line) => line.startsWith('Tcp:')).map((line) => line.split(' '))
      return Number(values[names.indexOf('OutSegs')])
    }
    await until('the call is ten seconds old', () => statSync(ann.recording).size > 10 * 48_000 * 2, 60)
    for (const name of ['ahoy-a', 'ahoy-b']) assert.ok(beside(name) < MOST_BESIDE, `${name}: ${beside(name)} segments of TCP`)
    await ann.cli('hangup')
    await Promise.all([ann.stop(), bob.stop()])
    tcpdump.kill('SIGINT')
    await captured
    const wire = readFileSync(capture)
    assert.ok(wire.length > 10_000)
    for (const secret of ['ahoy:c/', 'Echo', peer_id]) assert.equal(wire.includes(Buffer.from(secret)), false, secret)
  } finally {
    for (const name of ['ahoy-a', 'ahoy-b']) ip('netns', 'del', name)
    rmSync(folder, { recursive: true, force: true })
  }
})
