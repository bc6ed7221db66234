// Pictures that this browser captures: its camera, or what the person picks in its own dialog. Only ever after a click.

import { signal } from '../../vendor/signals.mjs'
import { cannot, pictures } from './tiles.js'

/** @typedef {'camera'|'screen'} Track */

/** What this page captures. @type {import('@preact/signals-core').Signal<Record<Track, boolean>>} */
export const captured = signal({ camera: false, screen: false })

/** @type {Map<Track, {stream: MediaStream, end: () => void}>} */
const running = new Map()

/**
 * Starts to capture. Resolves to why not, in a word, or null.
 * @param {Track} track
 * @param {() => void} ended called when the browser or the person ends it elsewhere
 * @returns {Promise<'refused'|'none'|'busy'|'unable'|null>}
 */
export async function begin(track, ended) {
  if (cannot.value.encode || !navigator.mediaDevices) return 'unable'
  if (running.has(track)) return null
  let stream
  try {
    stream = track === 'camera'
      ? await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } } })
      : await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: false })
  } catch (error) {
    switch (error instanceof DOMException ? error.name : '') {
      case 'NotAllowedError': case 'AbortError': return 'refused'
      case 'NotReadableError': return 'busy'
      case 'NotFoundError': case 'OverconstrainedError': return 'none'
      default: return 'unable'
    }
  }
  const [source] = stream.getVideoTracks()
  if (!source) return 'none'
  if (track === 'screen') source.contentHint = 'text'
  pictures().postMessage({ type: 'capture', track, on: true })
  const stop = 'MediaStreamTrackProcessor' in globalThis ? byProcessor(track, source) : byElement(track, stream)
  running.set(track, { stream, end: stop })
  captured.value = { ...captured.value, [track]: true }
  source.addEventListener('ended', () => {
    end(track)
    ended()
  })
  return null
}

/** Ends it; nothing is captured when this returns. @param {Track} track */
export function end(track) {
  const one = running.get(track)
  if (!one) return
  running.delete(track)
  one.stream.getTracks().forEach((each) => each.stop())
  one.end()
  pictures().postMessage({ type: 'capture', track, on: false })
  captured.value = { ...captured.value, [track]: false }
}

/** Chromium: the frames go to the worker by themselves. @param {Track} track @param {MediaStreamTrack} source */
function byProcessor(track, source) {
  const Processor = /** @type {any} */ (globalThis).MediaStreamTrackProcessor
  const frames = new Processor({ track: source, maxBufferSize: 1 }).readable
  pictures().postMessage({ type: 'frames', track, frames }, [frames])
  return () => {}
}

/** Firefox: a video element that nobody sees gives each frame. @param {Track} track @param {MediaStream} stream */
function byElement(track, stream) {
  const video = document.createElement('video')
  video.muted = true
  video.srcObject = stream
  let on = true
  const each = (/** @type {number} */ now_ms) => {
    if (!on) return
    const frame = new VideoFrame(video, { timestamp: Math.round(now_ms * 1000) })
    pictures().postMessage({ type: 'frame', track, frame }, [frame])
    video.requestVideoFrameCallback(each)
  }
  video.requestVideoFrameCallback(each)
  // It plays nothing aloud: no browser refuses that.
  video.play().catch(() => {})
  return () => {
    on = false
    video.srcObject = null
  }
}
