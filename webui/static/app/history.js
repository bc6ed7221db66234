// The last minute of a call in figures, for those who like graphs.

import { signal } from '../vendor/signals.mjs'

/**
 * @typedef {import('./protocol.js').View} View
 * @typedef {{at_ms: number, values: Record<string, number|null>}} Sample
 */

/** Samples that are kept: one a second for two minutes. */
const KEPT = 120
const EVERY_MS = 900

/** Samples by call. @type {import('@preact/signals-core').Signal<Record<string, Sample[]>>} */
export const history = signal({})

/** Takes what a view says. @param {View} view @param {number} now_ms */
export function remember(view, now_ms) {
  const next = withView(history.value, view, now_ms)
  if (next !== history.value) history.value = next
}

/**
 * Pure. The same object when there is nothing new.
 * @param {Record<string, Sample[]>} before @param {View} view @param {number} now_ms
 * @returns {Record<string, Sample[]>}
 */
export function withView(before, view, now_ms) {
  /** @type {Record<string, Sample[]>} */
  const after = {}
  let changed = false
  for (const call of view.calls) {
    if (call.state === 'ended') continue
    const samples = before[call.id] ?? []
    if (call.quality === null || now_ms - (samples.at(-1)?.at_ms ?? 0) < EVERY_MS) {
      if (samples.length > 0) after[call.id] = samples
      continue
    }
    /** @type {Record<string, number|null>} */
    const values = {
      rtt: call.path?.rtt_ms ?? null, delay: call.quality.delay_ms, loss: call.quality.loss_percent, concealed: call.quality.concealed_percent,
    }
    for (const track of call.tracks) {
      const whose = track.peer_id === view.me.peer_id ? 'sent' : 'got'
      values[`${whose} ${track.track} rate`] = track.frame_rate
      values[`${whose} ${track.track} bits`] = track.bitrate_bps
    }
    after[call.id] = [...samples, { at_ms: now_ms, values }].slice(-KEPT)
    changed = true
  }
  return changed || Object.keys(before).some((id) => !(id in after)) ? after : before
}

/**
 * A line through values, as the points of a polyline in a box of 100 by 24; gaps are left out. Pure.
 * @param {(number|null)[]} values @param {number} [least] the box is at least so high
 */
export function points(values, least = 1) {
  const most = Math.max(least, ...values.map((value) => value ?? 0))
  const step = 100 / Math.max(1, KEPT - 1)
  const first = KEPT - values.length
  return values.map((value, n) => (value === null ? null : `${((first + n) * step).toFixed(1)},${(23 - (22 * value) / most).toFixed(1)}`))
    .filter((point) => point !== null).join(' ')
}
