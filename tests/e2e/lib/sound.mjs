// What a recording holds: how much of a tone, from when to when.
import { readFileSync } from 'node:fs'

const RATE = 48_000

/** Samples of a mono 16 bit WAV file; a file that is still written is read as far as it goes. */
export function samples(path) {
  const bytes = readFileSync(path)
  const body = bytes.subarray(bytes.indexOf('data') + 8)
  return new Int16Array(body.buffer.slice(body.byteOffset, body.byteOffset + (body.length & ~1)))
}

/** Strength of `hertz` in each tenth of a second, 0 to 1 (Goertzel). */
export function tone(path, hertz) {
  const all = samples(path)
  const n = RATE / 10
  const strengths = []
  for (let at = 0; at + n <= all.length; at += n) {
    const k = 2 * Math.cos((2 * Math.PI * hertz) / RATE)
    let [a, b] = [0, 0]
    for (let i = 0; i < n; i += 1) [a, b] = [all[at + i] / 32768 + k * a - b, a]
    strengths.push((2 / n) * Math.sqrt(Math.max(0, a * a + b * b - k * a * b)))
  }
  return strengths
}

/** Whether the last `tenths` of a recording hold the tone. */
export const isHeard = (path, hertz, tenths = 5) => {
  const last = tone(path, hertz).slice(-tenths)
  return last.length === tenths && last.every((strength) => strength > 0.1)
}
export const isSilent = (path, tenths = 5) => {
  const all = samples(path).slice(-tenths * (RATE / 10))
  return all.length > 0 && all.every((sample) => Math.abs(sample) < 60)
}

const rms = (block) => Math.sqrt(block.reduce((sum, s) => sum + s * s, 0) / block.length)

/** Normalised cross-correlation of `said` at `at` with `heard` around `near`, best over `reach` samples either way. */
function best(said, at, n, heard, from, to, step) {
  let [top, where] = [-1, from]
  for (let shift = from; shift <= to; shift += 1) {
    let [dot, a, b] = [0, 1e-9, 1e-9]
    for (let i = 0; i < n; i += step) {
      const [x, y] = [said[at + i], heard[shift + i] ?? 0]
      dot += x * y
      a += x * x
      b += y * y
    }
    const value = dot / Math.sqrt(a * b)
    if (value > top) [top, where] = [value, shift]
  }
  return [top, where]
}

/** Magnitudes in 20 bands up to 7 kHz, in decibels. */
function bands(block) {
  const spectrum = []
  for (let band = 0; band < 20; band += 1) {
    const hertz = 150 + band * 340
    const k = 2 * Math.cos((2 * Math.PI * hertz) / RATE)
    let [a, b] = [0, 0]
    for (const sample of block) [a, b] = [sample + k * a - b, a]
    spectrum.push(10 * Math.log10(Math.max(1e4, a * a + b * b - k * a * b)))
  }
  return spectrum
}

/** Every eighth sample, averaged: 6 kHz is enough to find a place. */
function coarse(samples) {
  const out = new Float32Array(samples.length >> 3)
  for (let i = 0; i < out.length; i += 1) for (let k = 0; k < 8; k += 1) out[i] += samples[8 * i + k] / 8
  return out
}

/**
 * How alike what was said and what was heard are, over the loud half seconds, each looked for by itself within the three
 * seconds by which the recording may have begun earlier: median correlation of the waveforms, and mean distance of the
 * spectra in decibels (below 6 dB people hear the same voice).
 */
export function likeness(said, heard) {
  const n = RATE / 2
  const correlations = []
  const distances = []
  const [said8, heard8] = [coarse(said), coarse(heard)]
  for (let at = 0; at + n < said.length; at += n) {
    if (rms(said.subarray(at, at + n)) < 500) continue
    const last = Math.min(heard8.length - n / 8, (at + 3 * RATE) / 8)
    const near = 8 * best(said8, at / 8, n / 8, heard8, at / 8, last, 2)[1]
    const [value, where] = best(said, at, n, heard, Math.max(0, near - 16), near + 16, 4)
    correlations.push(value)
    const [x, y] = [bands(said.subarray(at, at + n)), bands(heard.subarray(where, where + n))]
    distances.push(x.reduce((sum, level, i) => sum + Math.abs(level - y[i]), 0) / x.length)
  }
  correlations.sort((a, b) => a - b)
  return { correlation: correlations[correlations.length >> 1] ?? 0, distance: distances.reduce((a, b) => a + b, 0) / distances.length, correlations }
}
