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
