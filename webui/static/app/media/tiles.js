// The page's side of pictures: which canvas shows what, which of them can be seen and how large, told to the worker.

import { signal } from '../../vendor/signals.mjs'
import { token } from '../session.js'
import { scriptUrl } from '../trusted.js'

/**
 * @typedef {{call: string, peer_id: string, track: 'camera'|'screen'}} PictureKey
 * @typedef {{stream: number, key: PictureKey, canvas: HTMLCanvasElement, visible: boolean, width: number, height: number}} Tile
 */

/** Pixels of each picture that was drawn, by [`nameOf`]. @type {import('@preact/signals-core').Signal<Record<string, {width: number, height: number}>>} */
export const sizes = signal({})
/** What this browser can't do with pictures, found out by trying. @type {import('@preact/signals-core').Signal<{decode: boolean, encode: boolean}>} */
export const cannot = signal({
  decode: !('transferControlToOffscreen' in (globalThis.HTMLCanvasElement?.prototype ?? {})),
  encode: !('VideoEncoder' in globalThis),
})

/** Canvases come and go together when the stage changes; the daemon hears of it once. */
const SETTLE_MS = 40

/** The daemon decodes for this browser, and sends each picture as JPEG. */
let jpeg = !('VideoDecoder' in globalThis)
/** @type {Worker|null} */
let worker = null
/** @type {Map<number, Tile>} */
const tiles = new Map()
/** @type {Map<string, number>} */
const numbers = new Map()
let next_tile = 1
let timer = 0
let told = ''

/** @param {PictureKey} key */
export const nameOf = (key) => `${key.call} ${key.peer_id} ${key.track}`

/** The worker, started when it is first needed. */
export function pictures() {
  if (worker === null) {
    worker = new Worker(scriptUrl('/app/media/worker.js'), { type: 'module' })
    worker.addEventListener('message', ({ data }) => heard(data))
    worker.postMessage({ type: 'open', token: token() ?? '' })
    document.addEventListener('visibilitychange', schedule)
  }
  return worker
}

/** The line to the daemon is open again, or gone for good. @param {boolean} open */
export function follow(open) {
  worker?.postMessage(open ? { type: 'open', token: token() ?? '' } : { type: 'close' })
}

/**
 * Shows a picture on a canvas for as long as it is in the page. Returns how to end that.
 * @param {HTMLCanvasElement} canvas
 * @param {PictureKey} key
 */
export function attach(canvas, key) {
  if (cannot.value.decode) return () => {}
  const name = nameOf(key)
  const stream = numbers.get(name) ?? numbers.size + 1
  numbers.set(name, stream)
  const id = next_tile
  next_tile += 1
  /** @type {Tile} */
  const tile = { stream, key, canvas, visible: false, width: 0, height: 0 }
  tiles.set(id, tile)
  const offscreen = canvas.transferControlToOffscreen()
  pictures().postMessage({ type: 'add', stream, id, canvas: offscreen }, [offscreen])

  // A window of its own (pop-out) has observers of its own.
  const home = /** @type {typeof globalThis & Window} */ (canvas.ownerDocument.defaultView ?? window)
  const seen = new home.IntersectionObserver((entries) => {
    tile.visible = entries.at(-1)?.isIntersecting ?? false
    schedule()
  })
  const sized = new home.ResizeObserver((entries) => {
    const box = entries.at(-1)?.contentRect
    const scale = home.devicePixelRatio
    tile.width = Math.round((box?.width ?? 0) * scale)
    tile.height = Math.round((box?.height ?? 0) * scale)
    schedule()
  })
  seen.observe(canvas)
  sized.observe(canvas)
  if (home !== window) home.document.addEventListener('visibilitychange', schedule)
  return () => {
    seen.disconnect()
    sized.disconnect()
    tiles.delete(id)
    worker?.postMessage({ type: 'remove', stream, id })
    schedule()
  }
}

function schedule() {
  if (timer === 0) timer = window.setTimeout(watch, SETTLE_MS)
}

function watch() {
  timer = 0
  const streams = watched([...tiles.values()].filter((tile) => tile.visible && tile.canvas.ownerDocument.visibilityState === 'visible'))
    .map((stream) => (jpeg ? { ...stream, jpeg } : stream))
  const text = JSON.stringify(streams)
  if (text === told) return
  told = text
  worker?.postMessage({ type: 'watch', streams })
}

/**
 * One line a stream: the largest of its tiles. Pure.
 * @param {Pick<Tile, 'stream'|'key'|'width'|'height'>[]} seen
 */
export function watched(seen) {
  /** @type {Map<number, {stream: number, call: string, peer_id: string, track: 'camera'|'screen', width: number, height: number}>} */
  const streams = new Map()
  for (const { stream, key, width, height } of seen) {
    if (width === 0 || height === 0) continue
    const other = streams.get(stream)
    streams.set(stream, { stream, ...key, width: Math.min(65535, Math.max(width, other?.width ?? 0)), height: Math.min(65535, Math.max(height, other?.height ?? 0)) })
  }
  return [...streams.values()].sort((a, b) => a.stream - b.stream)
}

/** @param {any} message */
function heard(message) {
  if (message.type === 'size') {
    const name = [...numbers].find(([, number]) => number === message.stream)?.[0]
    if (name) sizes.value = { ...sizes.value, [name]: { width: message.width, height: message.height } }
  }
  if (message.type === 'cannot' && message.what === 'decode') {
    jpeg = true
    schedule()
  } else if (message.type === 'cannot') cannot.value = { ...cannot.value, [message.what]: true }
}

/** What was drawn of pictures that are over says nothing about those that come. @param {(name: string) => boolean} live */
export function forget(live) {
  const kept = Object.entries(sizes.value).filter(([name]) => live(name))
  if (kept.length !== Object.keys(sizes.value).length) sizes.value = Object.fromEntries(kept)
}
