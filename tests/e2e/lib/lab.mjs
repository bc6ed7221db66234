// Networks of network namespaces: an internet with a router, sites behind boxes of every kind, one relay.
//
//   site "a": host 192.168.1.2 -- box(es) -- 20.0.1.2 \
//   site "b": host 192.168.2.2 -- box(es) -- 20.0.2.2 -- router -- relay 20.0.9.2, 2001:db8:9::2
import { execFileSync, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const NATBOX = fileURLToPath(new URL('natbox.py', import.meta.url))
const ip = (...words) => execFileSync('ip', words, { stdio: 'pipe' })
const inside = (name, ...words) => execFileSync('ip', ['netns', 'exec', name, ...words], { stdio: 'pipe' })

/** What RFC 4787 calls the behaviours: what mapping and filtering depend on, seconds until a mapping is forgotten, and whether ports can be asked for. */
export const BOXES = {
  cone: ['nothing', 'nothing', 120],
  address: ['nothing', 'address', 120],
  port: ['nothing', 'port', 120],
  symmetric: ['port', 'port', 120],
  carrier: ['nothing', 'port', 20],
  asked: ['port', 'port', 120, 'nat-pmp'],
}
/** Kinds of site, from the host outwards. */
export const SITES = {
  open: [],
  cone: ['cone'],
  address: ['address'],
  port: ['port'],
  symmetric: ['symmetric'],
  double: ['port', 'address'],
  carrier: ['port', 'carrier'],
}

/** Whether RFC 4787 allows two sites a direct path: see the same rule, and its reasons, in net/core/src/path/world.rs. */
export function directIsPossible(one, other) {
  const depth = { nothing: 0, address: 1, port: 2 }
  const most = (site, at) => Math.max(...SITES[site].map((box) => depth[BOXES[box][at]]))
  if (SITES[one].length === 0 || SITES[other].length === 0) return true
  const [a, b] = [most(one, 0), most(other, 0)]
  if (a === 0 && b === 0) return true
  if (a === 0) return most(one, 1) < 2
  if (b === 0) return most(other, 1) < 2
  return false
}

/** Why no networks can be made here; undefined if they can. */
export function impossible(prefix = 'ahoy-try') {
  try {
    ip('netns', 'add', prefix)
  } catch (error) {
    return `needs the right to make networks (${String(error.stderr ?? error).trim()})`
  }
  try {
    inside(prefix, 'ip', 'tuntap', 'add', 'dev', 'try', 'mode', 'tun')
    return undefined
  } catch (error) {
    return `nothing can be started in a network of its own, or there is no TUN device (${String(error.stderr ?? error).trim()})`
  } finally {
    ip('netns', 'del', prefix)
  }
}

/** A network that is taken away again with `down()`. @param {string} prefix names its namespaces */
export class Lab {
  constructor(prefix) {
    this.prefix = prefix
    this.spaces = []
    this.boxes = []
    this.router = this.space('net')
    inside(this.router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    this.relay = this.space('relay')
    this.wire(this.router, 'w9', '20.0.9.1/24', this.relay, 'wan', '20.0.9.2/24')
    this.v6(this.router, 'w9', '2001:db8:9::1/64')
    this.v6(this.relay, 'wan', '2001:db8:9::2/64')
    ip('-n', this.relay, 'route', 'add', 'default', 'via', '20.0.9.1')
    ip('-n', this.relay, '-6', 'route', 'add', 'default', 'via', '2001:db8:9::1')
  }

  space(name) {
    const full = `${this.prefix}-${name}`
    try {
      ip('netns', 'del', full)
    } catch {
      // It was not there.
    }
    ip('netns', 'add', full)
    ip('-n', full, 'link', 'set', 'lo', 'up')
    for (const key of ['all', 'default']) inside(full, 'sysctl', '-qw', `net.ipv4.conf.${key}.rp_filter=0`, `net.ipv6.conf.${key}.accept_dad=0`)
    this.spaces.push(full)
    return full
  }

  /** A cable between two namespaces. */
  wire(one, oneName, oneAddress, other, otherName, otherAddress) {
    ip('link', 'add', oneName, 'netns', one, 'type', 'veth', 'peer', 'name', otherName, 'netns', other)
    for (const [space, name, address] of [[one, oneName, oneAddress], [other, otherName, otherAddress]]) {
      if (address) ip('-n', space, 'addr', 'add', address, 'dev', name)
      ip('-n', space, 'link', 'set', name, 'up')
    }
  }

  v6(space, device, address) {
    ip('-n', space, '-6', 'addr', 'add', address, 'dev', device, 'nodad')
  }

  /** A host behind the boxes of a kind of site, or those named; the name of its namespace. @param {string} name @param {number} n @param {string|string[]} kind */
  async site(name, n, kind) {
    const host = this.space(name)
    const boxes = Array.isArray(kind) ? kind : SITES[kind]
    if (boxes.length === 0) {
      this.wire(this.router, `w${n}`, `20.0.${n}.1/24`, host, 'wan', `20.0.${n}.2/24`)
      ip('-n', host, 'route', 'add', 'default', 'via', `20.0.${n}.1`)
      return host
    }
    let [below, device] = [host, 'lan']
    // Between boxes the shared addresses of RFC 6598, outside the site's public one.
    for (const [level, box] of boxes.entries()) {
      const outer = level + 1 === boxes.length
      const space = this.space(`${name}-box${level}`)
      const net = level === 0 ? `192.168.${n}` : `100.64.${n}`
      if (level === 0) {
        // A switch, so that others can plug in.
        ip('-n', space, 'link', 'add', 'lan', 'type', 'bridge')
        ip('-n', space, 'addr', 'add', `${net}.1/24`, 'dev', 'lan')
        ip('-n', space, 'link', 'set', 'lan', 'up')
        this.plug(space, below, device, `${net}.2/24`)
      } else {
        this.wire(space, 'lan', `${net}.1/24`, below, device, `${net}.3/24`)
      }
      ip('-n', below, 'route', 'add', 'default', 'via', `${net}.1`)
      const outside = outer ? `20.0.${n}.2` : `100.64.${n}.2`
      await this.box(space, box, outside)
      if (level > 0) ip('-n', space, 'route', 'add', `100.64.${n}.2/32`, 'via', `100.64.${n}.3`)
      if (outer) {
        this.wire(this.router, `w${n}`, `20.0.${n}.1/24`, space, 'wan', `20.0.${n}.3/24`)
        ip('-n', space, 'route', 'add', 'default', 'via', `20.0.${n}.1`)
        ip('-n', this.router, 'route', 'add', `20.0.${n}.2/32`, 'via', `20.0.${n}.3`)
      }
      ;[below, device] = [space, 'wan']
    }
    return host
  }

  /** Plugs a host into a box's switch. */
  plug(box, host, device, address) {
    this.ports = (this.ports ?? 0) + 1
    this.wire(box, `port${this.ports}`, undefined, host, device, address)
    ip('-n', box, 'link', 'set', `port${this.ports}`, 'master', 'lan')
  }

  /** A second host at site `name`. */
  neighbour(name, n, site) {
    const host = this.space(name)
    this.plug(`${this.prefix}-${site}-box0`, host, 'lan', `192.168.${n}.3/24`)
    ip('-n', host, 'route', 'add', 'default', 'via', `192.168.${n}.1`)
    return host
  }

  /** A host with IPv6 alone, that everybody reaches. */
  v6site(name, n) {
    const host = this.space(name)
    this.wire(this.router, `w${n}`, undefined, host, 'wan', undefined)
    this.v6(this.router, `w${n}`, `2001:db8:${n}::1/64`)
    this.v6(host, 'wan', `2001:db8:${n}::2/64`)
    ip('-n', host, '-6', 'route', 'add', 'default', 'via', `2001:db8:${n}::1`)
    return host
  }

  /** Makes a namespace a NAT box. */
  async box(space, kind, outside) {
    const [mapping, filtering, seconds, ...more] = BOXES[kind]
    inside(space, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    ip('-n', space, 'tuntap', 'add', 'dev', 'nat', 'mode', 'tun')
    ip('-n', space, 'link', 'set', 'nat', 'up')
    // What comes from inside goes through the box, and what is for its outside address too.
    ip('-n', space, 'rule', 'add', 'iif', 'lan', 'lookup', '100')
    ip('-n', space, 'route', 'add', 'default', 'dev', 'nat', 'table', '100')
    ip('-n', space, 'route', 'add', `${outside}/32`, 'dev', 'nat')
    const child = spawn('ip', ['netns', 'exec', space, 'python3', NATBOX, 'nat', outside, mapping, filtering, String(seconds), ...more], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.boxes.push(child)
    child.space = space
    await new Promise((resolve, reject) => {
      child.stdout.once('data', resolve)
      child.once('exit', () => reject(new Error(`the box of ${space} did not start`)))
    })
    child.unref()
    child.stdout.unref()
    return child
  }

  /** Every box forgets its mappings. */
  forget() {
    // `ip netns exec` becomes the program it starts.
    for (const box of this.boxes) box.kill('SIGUSR1')
  }

  /** Bytes that a device has sent. */
  sent(space, device) {
    return Number(inside(space, 'cat', `/sys/class/net/${device}/statistics/tx_bytes`))
  }

  ip(space, ...words) {
    return ip('-n', space, ...words)
  }

  down() {
    for (const box of this.boxes) box.kill('SIGKILL')
    for (const space of this.spaces) {
      try {
        ip('netns', 'del', space)
      } catch {
        // Gone already.
      }
    }
  }
}

/** The words that start a program in a namespace. */
export const within = (space) => ['ip', 'netns', 'exec', space]
