// One picture of this browser in the worker: frames in, VP8 out, as the call's path carries it.

import { HEADER, KIND, UP, write } from './frame.js'

/** Frames inside the encoder; more would only be delay. */
const MOST_INSIDE = 2
/** A key frame that was asked for and did not come out, because the rate left no room for it, is asked for again after this. */
const KEY_WITHIN_MS = 400
/** Key frames that are wished for again so soon after they left, more often than new viewers do, were too large for the way: the
 * picture shrinks, at most to this share of its sides… */
const KEYS_APART_MS = 2500
const OFTEN = 2
const SMALLER = 0.7
const SMALLEST = 0.35
/** …and grows back a step after so long without one. */
const GROWS_AFTER_MS = 6000
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
    /** When the key frame that is wanted was asked of the encoder. */
    this.key_asked_ms = -Infinity
    /** When the last one left, and when one was wished for. */
    this.key_out_ms = -Infinity
    this.wished_ms = -Infinity
    /** Key frames in a row that were wished for again at once. */
    this.lost = 0
    /** Share of the plan's sides. */
    this.share = 1
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
    if (keys > this.keys) this.wish(performance.now())
    this.keys = keys
  }

  /** A key frame is wished for. @param {number} now_ms */
  wish(now_ms) {
    // One that is on its way is as good.
    if (!this.want_key) this.key_asked_ms = -Infinity
    this.want_key = true
    if (this.key_out_ms > this.wished_ms && now_ms - this.key_out_ms < KEYS_APART_MS) this.lost += 1
    else if (now_ms - this.wished_ms > KEYS_APART_MS) this.lost = 0
    if (this.lost > OFTEN) this.share = Math.max(SMALLEST, this.share * SMALLER)
    this.wished_ms = now_ms
  }

  /** What the plan allows, less where key frames did not come through. @param {Plan} plan @param {number} now_ms */
  most(plan, now_ms) {
    if (this.share < 1 && now_ms - this.wished_ms > GROWS_AFTER_MS) {
      this.share = Math.min(1, this.share / SMALLER)
      this.wished_ms = now_ms
    }
    return { width: plan.width * this.share, height: plan.height * this.share }
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
    const now_ms = performance.now()
    const size = fit(frame.displayWidth, frame.displayHeight, this.most(plan, now_ms))
    this.open(size, plan)
    const same = size.width === frame.displayWidth && size.height === frame.displayHeight
    const fitting = same ? frame : this.scaled(frame, size)
    const keyFrame = this.want_key && now_ms - this.key_asked_ms > KEY_WITHIN_MS
    if (keyFrame) this.key_asked_ms = now_ms
    this.encoder?.encode(fitting, { keyFrame })
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
      this.key_asked_ms = -Infinity
    }
    this.encoder.configure({
      codec: 'vp8', width, height, bitrate: plan.bitrate_bps, framerate: plan.frame_rate, latencyMode: 'realtime',
      ...(this.track === 'screen' ? { contentHint: 'text' } : {}),
    })
  }

  /** @param {EncodedVideoChunk} chunk */
  out(chunk) {
    if (chunk.type === 'key') {
      this.want_key = false
      this.key_out_ms = performance.now()
    }
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
