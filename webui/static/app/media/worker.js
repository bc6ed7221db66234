// The worker of pictures: holds the media socket, decodes what the page looks at, encodes what the page captures.
// Nothing of it passes through the page's own thread but the canvases, once.

import { Encoded } from './encoded.js'
import { KIND, read, write } from './frame.js'
import { Shown } from './shown.js'

/**
 * @typedef {{stream: number, call: string, peer_id: string, track: 'camera'|'screen', width: number, height: number, jpeg?: boolean}} Watched
 * @typedef {{type: 'open', token: string}|{type: 'close'}
 *  |{type: 'watch', streams: Watched[]}
 *  |{type: 'add', stream: number, id: number, canvas: OffscreenCanvas}
 *  |{type: 'remove', stream: number, id: number}
 *  |{type: 'capture', track: 'camera'|'screen', on: boolean}
 *  |{type: 'frames', track: 'camera'|'screen', frames: ReadableStream<VideoFrame>}
 *  |{type: 'frame', track: 'camera'|'screen', frame: VideoFrame}} ToWorker
 * @typedef {{type: 'size', stream: number, width: number, height: number}
 *  |{type: 'cannot', what: 'decode'|'encode'}} FromWorker
 */

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 8000
/** A decoder outlives its last canvas by this: a tile that only moves keeps its picture. */
const LINGER_MS = 400

/** @type {Map<number, Shown>} */
const streams = new Map()
/** @type {Map<'camera'|'screen', Encoded>} */
const captures = new Map()
/** @type {Watched[]} */
let watched = []
/** @type {WebSocket|null} */
let socket = null
let ready = false
let token = ''
let wait_ms = FIRST_RETRY_MS
let timer = 0

/** @param {FromWorker} message */
const tell = (message) => self.postMessage(message)

/** @param {object} message */
const say = (message) => {
  if (ready) socket?.send(JSON.stringify(message))
}

function connect() {
  clearTimeout(timer)
  const url = new URL('/api/v1/media', self.location.href)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const mine = new WebSocket(url)
  mine.binaryType = 'arraybuffer'
  socket = mine
  ready = false
  mine.addEventListener('open', () => mine.send(JSON.stringify({ type: 'auth', token })))
  mine.addEventListener('message', ({ data }) => {
    if (mine !== socket) return
    if (typeof data === 'string') words(JSON.parse(data))
    else picture(data)
  })
  mine.addEventListener('close', () => {
    if (mine !== socket) return
    socket = null
    ready = false
    streams.forEach((shown) => shown.close())
    // The page's other line says why, and stops this one if it is for good.
    timer = self.setTimeout(connect, wait_ms)
    wait_ms = Math.min(wait_ms * 2, LAST_RETRY_MS)
  })
}

/** @param {any} message */
function words(message) {
  if (message.type === 'ready') {
    ready = true
    wait_ms = FIRST_RETRY_MS
    if (watched.length > 0) say({ type: 'watch', streams: watched })
    for (const track of captures.keys()) say({ type: 'capturing', track, on: true })
  } else if (message.type === 'encode') captures.get(message.track)?.ask(message.plan, message.keys)
}

/** @param {ArrayBuffer} data */
function picture(data) {
  const frame = read(data)
  if (frame === null) return
  const shown = streams.get(frame.stream)
  if (shown) shown.push(frame)
  else seen(frame.stream, frame.seq)
}

/** @param {number} stream @param {number} seq */
function seen(stream, seq) {
  if (ready) socket?.send(write({ kind: KIND.seen, stream, seq }))
}

/** @param {number} stream */
function shownOf(stream) {
  let shown = streams.get(stream)
  if (shown === undefined) {
    let asked = 0
    shown = new Shown({
      seen: (seq) => seen(stream, seq),
      key: () => {
        // The frames that follow need the same one: once is enough.
        if (performance.now() - asked < 300) return
        asked = performance.now()
        say({ type: 'key', stream })
      },
      size: (width, height) => tell({ type: 'size', stream, width, height }),
      cannot: () => tell({ type: 'cannot', what: 'decode' }),
    })
    streams.set(stream, shown)
  }
  return shown
}

/** @param {number} stream */
function tidy(stream) {
  const shown = streams.get(stream)
  if (shown && shown.canvases.size === 0) {
    shown.close()
    streams.delete(stream)
  }
}

/** @param {'camera'|'screen'} track @param {boolean} on */
function capture(track, on) {
  captures.get(track)?.close()
  captures.delete(track)
  if (on) {
    captures.set(track, new Encoded(track, {
      send: (message) => {
        if (ready) socket?.send(message)
      },
      waiting: () => socket?.bufferedAmount ?? 0,
      failed: () => tell({ type: 'cannot', what: 'encode' }),
    }))
  }
  say({ type: 'capturing', track, on })
}

/** @param {'camera'|'screen'} track @param {ReadableStream<VideoFrame>} frames */
async function drain(track, frames) {
  const reader = frames.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const encoded = captures.get(track)
    if (encoded) encoded.push(value)
    else value.close()
  }
}

self.addEventListener('message', ({ data }) => {
  const message = /** @type {ToWorker} */ (data)
  switch (message.type) {
    case 'open':
      token = message.token
      if (socket === null) connect()
      return
    case 'close': {
      clearTimeout(timer)
      const old = socket
      socket = null
      ready = false
      old?.close()
      streams.forEach((shown) => shown.close())
      return
    }
    case 'watch': {
      // A stream that was not looked at for a while goes on from a key frame.
      const before = new Set(watched.map((each) => each.stream))
      for (const { stream } of message.streams) if (!before.has(stream)) streams.get(stream)?.close()
      watched = message.streams
      return say(message)
    }
    case 'add': return shownOf(message.stream).add(message.id, message.canvas)
    case 'remove':
      streams.get(message.stream)?.canvases.delete(message.id)
      self.setTimeout(() => tidy(message.stream), LINGER_MS)
      return
    case 'capture': return capture(message.track, message.on)
    case 'frames': return void drain(message.track, message.frames)
    case 'frame': {
      const encoded = captures.get(message.track)
      return encoded ? encoded.push(message.frame) : message.frame.close()
    }
  }
})
