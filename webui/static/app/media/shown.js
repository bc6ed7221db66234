// One stream of pictures in the worker: its decoder, and the canvases it is drawn on.

import { CODECS, KIND } from './frame.js'

/**
 * @typedef {object} Ways
 * @property {(seq: number) => void} seen all frames up to this one were shown or passed over
 * @property {() => void} key only a key frame helps
 * @property {(width: number, height: number) => void} size the picture has these pixels from now on
 * @property {() => void} cannot this browser can't decode it
 */

export class Shown {
  /** @param {Ways} ways */
  constructor(ways) {
    this.ways = ways
    /** Where it is drawn. A context is asked for once: Firefox refuses the second time. @type {Map<number, OffscreenCanvasRenderingContext2D>} */
    this.canvases = new Map()
    /** @type {VideoDecoder|null} */
    this.decoder = null
    this.kind = 0
    this.whole = false
    /** Frames inside the decoder, oldest first. @type {{seq: number, timestamp: number}[]} */
    this.inside = []
    this.clock = 0
    this.width = 0
    this.height = 0
  }

  /** Draws on this canvas too, at once with what another one shows. @param {number} id @param {OffscreenCanvas} canvas */
  add(id, canvas) {
    const [other] = this.canvases.values()
    const context = canvas.getContext('2d', { alpha: false })
    if (context === null) return
    this.canvases.set(id, context)
    if (other && this.width > 0) this.draw(context, other.canvas)
  }

  /** @param {import('./frame.js').Frame} frame */
  push(frame) {
    if (frame.kind === KIND.jpeg) return void this.still(frame)
    if (frame.key && (this.decoder === null || this.kind !== frame.kind)) this.open(frame.kind)
    if (this.decoder === null || (!frame.key && !this.whole)) {
      this.ways.seen(frame.seq)
      if (this.kind !== -1) this.ways.key()
      return
    }
    if (frame.key) this.whole = true
    // Timestamps only tell frames apart here: a frame is shown as soon as it is decoded.
    const timestamp = (this.clock += 1)
    this.inside.push({ seq: frame.seq, timestamp })
    this.decoder.decode(new EncodedVideoChunk({ type: frame.key ? 'key' : 'delta', timestamp, data: frame.data }))
  }

  /** Where the browser decodes no video, the daemon does: each frame is a JPEG. @param {import('./frame.js').Frame} frame */
  async still(frame) {
    try {
      const picture = await createImageBitmap(new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (frame.data)], { type: 'image/jpeg' }))
      this.resize(picture.width, picture.height)
      for (const context of this.canvases.values()) this.draw(context, picture)
      picture.close()
    } catch { /* a broken one: the next follows at once */ }
    this.ways.seen(frame.seq)
  }

  /** @param {number} kind */
  open(kind) {
    this.close()
    const codec = CODECS[kind]
    if (codec === undefined || typeof VideoDecoder === 'undefined') {
      this.kind = -1
      this.ways.cannot()
      return
    }
    const decoder = new VideoDecoder({
      output: (picture) => {
        if (decoder === this.decoder) this.show(picture)
        picture.close()
      },
      error: (error) => {
        if (decoder !== this.decoder) return
        this.close()
        if (error.name === 'NotSupportedError') return this.ways.cannot()
        this.ways.key()
      },
    })
    decoder.configure({ codec, optimizeForLatency: true })
    this.decoder = decoder
    this.kind = kind
  }

  /** @param {VideoFrame} picture */
  show(picture) {
    this.resize(picture.displayWidth, picture.displayHeight)
    for (const context of this.canvases.values()) this.draw(context, picture)
    let seq = -1
    while (this.inside[0] && this.inside[0].timestamp <= picture.timestamp) seq = this.inside.shift()?.seq ?? seq
    if (seq >= 0) this.ways.seen(seq)
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    if (width === this.width && height === this.height) return
    this.width = width
    this.height = height
    this.ways.size(width, height)
  }

  /** @param {OffscreenCanvasRenderingContext2D} context @param {CanvasImageSource} picture */
  draw(context, picture) {
    if (context.canvas.width !== this.width) context.canvas.width = this.width
    if (context.canvas.height !== this.height) context.canvas.height = this.height
    context.drawImage(picture, 0, 0, this.width, this.height)
  }

  /** Gives back the decoder; a key frame opens another. */
  close() {
    if (this.decoder && this.decoder.state !== 'closed') this.decoder.close()
    this.decoder = null
    this.whole = false
    this.inside = []
    this.kind = 0
  }
}
