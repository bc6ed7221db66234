// A daemon without calls: serves static/ with the daemon's own headers and shows one view of golden/. For looking at
// pages and for axe; what the real daemon does is tested in tests/e2e.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { extname, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WebSocketServer } from 'ws'

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.woff2': 'font/woff2', '.webmanifest': 'application/manifest+json',
}

/** The frames of an IVF file: header of 32 bytes, then each frame behind 12 bytes. @param {string} name @returns {Buffer[]} */
function clip(name) {
  const file = readFileSync(here(`media/${name}.ivf`))
  const frames = []
  for (let at = 32; at + 12 <= file.length;) {
    const size = file.readUInt32LE(at)
    frames.push(file.subarray(at + 12, at + 12 + size))
    at += 12 + size
  }
  return frames
}

/** Speaks the media socket: each stream that is watched gets a clip, in a loop. @param {import('ws').WebSocket} socket @param {() => string} me */
function showClips(socket, me) {
  /** @type {Map<number, {frames: Buffer[], at: number}>} */
  const streams = new Map()
  socket.on('message', (data, binary) => {
    if (binary) return
    const message = JSON.parse(String(data))
    if (message.type === 'auth') socket.send('{"type":"ready"}')
    if (message.type === 'key') Object.assign(streams.get(message.stream) ?? {}, { at: 0 })
    if (message.type !== 'watch') return
    const wanted = new Map(message.streams.map((/** @type {any} */ each) => [each.stream, each]))
    for (const stream of streams.keys()) if (!wanted.has(stream)) streams.delete(stream)
    for (const [stream, { peer_id, track }] of wanted) {
      if (!streams.has(stream)) streams.set(stream, { frames: clip(track === 'screen' ? 'slide' : peer_id === me() ? 'ann' : 'mira'), at: 0 })
    }
  })
  const timer = setInterval(() => {
    for (const [stream, each] of streams) {
      const at = each.at % each.frames.length
      const head = Buffer.alloc(16)
      head.writeUInt8(1, 0)
      head.writeUInt8(at === 0 ? 1 : 0, 1)
      head.writeUInt16LE(stream, 2)
      head.writeUInt32LE(each.at, 4)
      socket.send(Buffer.concat([head, /** @type {Buffer} */ (each.frames[at])]))
      each.at += 1
    }
  }, 66)
  socket.on('close', () => clearInterval(timer))
}

/** A view of golden/, made as if it were now. @param {string} name */
export function golden(name) {
  const view = JSON.parse(readFileSync(here(`../golden/view-${name}.json`), 'utf8'))
  const shift = Date.now() - view.now_ms
  const walk = (/** @type {any} */ node) => {
    for (const [key, value] of Object.entries(node ?? {})) {
      if (typeof value === 'number' && /_ms$/.test(key) && value > 1e12) node[key] = value + shift
      else if (typeof value === 'object') walk(value)
    }
  }
  walk(view)
  return view
}

/**
 * Starts the server. `show` changes what the next page sees.
 * @returns {Promise<{url: string, commands: any[], show: (view: any, levels?: any) => void, close: () => void}>}
 */
export async function mockDaemon() {
  /** @type {{view: any, levels: any}} */
  const shown = { view: golden('home'), levels: null }
  /** @type {any[]} */
  const commands = []
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname))
    if (path === '/api/v1/session') {
      response.setHeader('Content-Type', 'application/json')
      return response.end('{"token":"mock"}')
    }
    try {
      const file = path === '/' ? '/index.html' : path
      const body = readFileSync(here('../static' + file))
      response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream')
      response.setHeader('Content-Security-Policy', "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
        + "connect-src 'self' ws://localhost:*; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types app")
      response.end(body)
    } catch {
      response.statusCode = 404
      response.end()
    }
  })
  const sockets = new WebSocketServer({ noServer: true })
  const media = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  server.on('upgrade', (request, socket, head) => {
    const line = request.url === '/api/v1/media' ? media : sockets
    line.handleUpgrade(request, socket, head, (ready) => line.emit('connection', ready))
  })
  media.on('connection', (socket) => showClips(socket, () => shown.view.me.peer_id))
  const tell = (/** @type {import('ws').WebSocket} */ socket) => {
    socket.send(JSON.stringify({ type: 'view', view: shown.view }))
    if (shown.levels) socket.send(JSON.stringify({ type: 'levels', ...shown.levels }))
  }
  sockets.on('connection', (socket) => socket.on('message', (data) => {
    const message = JSON.parse(String(data))
    if (message.type === 'auth') tell(socket)
    if (message.type === 'command') {
      commands.push(message.command)
      socket.send(JSON.stringify({ type: 'reply', id: message.id, ok: true, result: {} }))
    }
  }))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)))
  const address = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    url: `http://localhost:${address.port}/`,
    commands,
    show: (view, levels = null) => {
      Object.assign(shown, { view, levels })
      sockets.clients.forEach(tell)
    },
    close: () => {
      for (const socket of [...sockets.clients, ...media.clients]) socket.terminate()
      server.close()
    },
  }
}
