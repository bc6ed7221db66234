// The layout of a frame on the media socket: 16 bytes of header, little endian, then the frame. Pure. docs/PROTOCOL.md.

export const HEADER = 16
/** Byte 0. */
export const KIND = { vp8: 1, vp9: 2, jpeg: 3, seen: 16 }
/** What a decoder is told for a kind. @type {Record<number, string>} */
export const CODECS = { 1: 'vp8', 2: 'vp09.00.10.08' }
/** What a page's own pictures are numbered on the way up. */
export const UP = { camera: 1, screen: 2 }

/** @typedef {{kind: number, key: boolean, jumped: boolean, stream: number, seq: number, capture_us: number, data: Uint8Array}} Frame */

/** @param {ArrayBuffer} buffer @returns {Frame|null} null for what is no frame */
export function read(buffer) {
  if (buffer.byteLength < HEADER) return null
  const view = new DataView(buffer)
  const flags = view.getUint8(1)
  return {
    kind: view.getUint8(0), key: (flags & 1) !== 0, jumped: (flags & 2) !== 0, stream: view.getUint16(2, true),
    seq: view.getUint32(4, true), capture_us: Number(view.getBigUint64(8, true)), data: new Uint8Array(buffer, HEADER),
  }
}

/**
 * @param {{kind: number, key?: boolean, stream: number, seq: number, capture_us?: number}} head
 * @param {number} [bytes] room for the frame behind the header
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function write(head, bytes = 0) {
  const message = new Uint8Array(HEADER + bytes)
  const view = new DataView(message.buffer)
  view.setUint8(0, head.kind)
  view.setUint8(1, head.key ? 1 : 0)
  view.setUint16(2, head.stream, true)
  view.setUint32(4, head.seq, true)
  view.setBigUint64(8, BigInt(Math.max(0, Math.round(head.capture_us ?? 0))), true)
  return message
}
