// One picture of this browser in the worker: frames in, VP8 out, as the call's path carries it.

import { HEADER, KIND, UP, write } from './frame.js'

/** Frames inside the encoder; more would only be delay. */
const MOST_INSIDE = 2
/** Bytes that wait in the socket; a local one takes them at once, unless the daemon is stuck. */
const MOST_WAITING = 1_000_000

/** @typedef {{bitrate_bps: number, width: number, height: number, frame_rate: number}} Plan */

export class Encoded {
  /**
   * @param {'camera'|'screen'} track
   * @param {{send: (message: Uint8Array<ArrayBuffer>) => void, waiting: () => number, failed: () => void}} ways
   */
  constructor(track, ways) {
    this.track = track
    this.ways = ways
    /** @type {Plan|null} */
    this.plan = null
    this.keys = 0
    this.want_key = true
    this.seq = 0
    this.last_us = -Infinity
    /** @type {VideoEncoder|null} */
    this.encoder = null
    this.config = ''
    this.canvas = new OffscreenCanvas(2, 2)
    this.context = this.canvas.getContext('2d', { alpha: false })
  }

  /** @param {Plan|null} plan @param {number} keys grows with each wish for a key frame */
  ask(plan, keys) {
    this.plan = plan
    if (keys > this.keys) this.want_key = true
    this.keys = keys
  }

  /** Takes a frame and closes it. @param {VideoFrame} frame */
  push(frame) {
    try {
      this.encode(frame)
    } catch {
      this.close()
      this.ways.failed()
    } finally {
      frame.close()
    }
  }

  /** @param {VideoFrame} frame */
  encode(frame) {
    const plan = this.plan
    if (plan === null || plan.bitrate_bps === 0 || plan.frame_rate === 0) return
    // A tenth early is in time: a camera's clock is not the plan's.
    if (frame.timestamp - this.last_us < 900_000 / plan.frame_rate) return
    if ((this.encoder?.encodeQueueSize ?? 0) >= MOST_INSIDE || this.ways.waiting() > MOST_WAITING) return
    this.last_us = frame.timestamp
    const size = fit(frame.displayWidth, frame.displayHeight, plan)
    this.open(size, plan)
    const same = size.width === frame.displayWidth && size.height === frame.displayHeight
    const fitting = same ? frame : this.scaled(frame, size)
    this.encoder?.encode(fitting, { keyFrame: this.want_key })
    this.want_key = false
    if (fitting !== frame) fitting.close()
  }

  /** @param {VideoFrame} frame @param {{width: number, height: number}} size */
  scaled(frame, { width, height }) {
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height })
    this.context?.drawImage(frame, 0, 0, width, height)
    return new VideoFrame(this.canvas, { timestamp: frame.timestamp })
  }

  /** @param {{width: number, height: number}} size @param {Plan} plan */
  open({ width, height }, plan) {
    // Steps of an eighth: a rate that trembles is no reason to stop and think.
    const step = 2 ** Math.round(Math.log2(plan.bitrate_bps) * 6)
    const config = `${width}x${height}@${plan.frame_rate} ${step}`
    if (this.encoder !== null && config === this.config) return
    this.config = config
    if (this.encoder === null || this.encoder.state === 'closed') {
      const encoder = new VideoEncoder({
        output: (chunk) => this.out(chunk),
        error: () => {
          if (encoder === this.encoder) this.encoder = null
          this.ways.failed()
        },
      })
      this.encoder = encoder
      this.want_key = true
    }
    this.encoder.configure({
      codec: 'vp8', width, height, bitrate: plan.bitrate_bps, framerate: plan.frame_rate, latencyMode: 'realtime',
      ...(this.track === 'screen' ? { contentHint: 'text' } : {}),
    })
  }

  /** @param {EncodedVideoChunk} chunk */
  out(chunk) {
    const message = write(
      { kind: KIND.vp8, key: chunk.type === 'key', stream: UP[this.track], seq: this.seq, capture_us: chunk.timestamp },
      chunk.byteLength,
    )
    this.seq = (this.seq + 1) % 2 ** 32
    chunk.copyTo(message.subarray(HEADER))
    this.ways.send(message)
  }

  close() {
    if (this.encoder && this.encoder.state !== 'closed') this.encoder.close()
    this.encoder = null
    this.config = ''
  }
}

/**
 * The largest even size of that shape within the plan's; never larger than the picture.
 * @param {number} width @param {number} height @param {{width: number, height: number}} most
 */
export function fit(width, height, most) {
  const scale = Math.min(1, most.width / width, most.height / height)
  const even = (/** @type {number} */ length) => Math.max(2, 2 * Math.floor((length * scale + 1e-6) / 2))
  return { width: even(width), height: even(height) }
}
