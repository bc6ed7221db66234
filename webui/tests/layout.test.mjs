// Who stands where, and what the page tells of its tiles.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { points, withView } from '../static/app/history.js'
import { arrange, choices, columns, cornerAt, cornerByKey } from '../static/app/layout.js'
import { fit } from '../static/app/media/encoded.js'
import { KIND, read, write } from '../static/app/media/frame.js'
import { watched } from '../static/app/media/tiles.js'

const golden = (name) => JSON.parse(readFileSync(fileURLToPath(new URL(`../golden/view-${name}.json`, import.meta.url)), 'utf8'))
const placed = (name, layout = 'auto') => {
  const view = golden(name)
  const { mode, main, rest, self } = arrange(view.calls[0], view.me.peer_id, layout)
  const word = (spot) => spot && (spot.mine ? 'my ' : 'their ') + (spot.track ?? 'letter')
  return [mode, word(main), rest.map(word), word(self)]
}

test('whoever is seen stands large, and a shared screen before that', () => {
  assert.deepEqual(placed('active'), ['voice', 'their letter', [], 'my letter'])
  assert.deepEqual(placed('video'), ['speaker', 'their camera', [], 'my camera'])
  assert.deepEqual(placed('video-mine'), ['speaker', 'their letter', [], 'my camera'])
  assert.deepEqual(placed('video-share'), ['presenter', 'their screen', ['their camera', 'my camera'], null])
  assert.deepEqual(placed('video-both-share'), ['presenter', 'their screen', ['my screen', 'their letter', 'my letter'], null])
  assert.deepEqual(placed('calling-video'), ['speaker', 'my camera', [], null], 'while it rings')
})

test('the own screen is shown large only to who asks for it', () => {
  assert.deepEqual(placed('video-presenting'), ['speaker', 'their camera', ['my screen', 'my camera'], null])
  assert.deepEqual(placed('video-presenting', 'presenter'), ['presenter', 'my screen', ['their camera', 'my camera'], null])
})

test('a chosen layout holds, as far as there is something for it', () => {
  assert.deepEqual(placed('video-share', 'grid'), ['grid', null, ['their screen', 'their camera', 'my camera'], null])
  assert.deepEqual(placed('video-share', 'speaker'), ['speaker', 'their camera', ['their screen', 'my camera'], null])
  assert.deepEqual(placed('video', 'presenter')[0], 'speaker')
  assert.equal(choices(golden('video').calls[0]).includes('presenter'), false)
  assert.deepEqual([1, 2, 4, 5, 9, 10, 25].map(columns), [1, 2, 2, 3, 3, 4, 5])
})

test('the own picture goes to the corner of the key or the hand', () => {
  assert.deepEqual(['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'x'].map((key) => cornerByKey('br', key)), ['tr', 'br', 'bl', 'br', 'br'])
  assert.deepEqual([cornerAt(0.1, 0.2), cornerAt(0.9, 0.1), cornerAt(0.2, 0.8), cornerAt(0.6, 0.6)], ['tl', 'tr', 'bl', 'br'])
})

test('a picture seen twice is one stream at the larger size, one without a size is none', () => {
  const key = { call: 'c', peer_id: 'p', track: 'camera' }
  const streams = watched([{ stream: 2, key, width: 200, height: 90 }, { stream: 1, key, width: 0, height: 90 }, { stream: 2, key, width: 100, height: 300 }])
  assert.deepEqual(streams, [{ stream: 2, ...key, width: 200, height: 300 }])
})

test('a frame is read as it was written, and what is short is none', () => {
  const message = write({ kind: KIND.vp9, key: true, stream: 513, seq: 70_000, capture_us: 2 ** 40 }, 2)
  message.set([7, 8], 16)
  assert.deepEqual(Array.from(message.subarray(0, 8)), [2, 1, 1, 2, 0x70, 0x11, 1, 0], 'as the daemon writes it')
  const frame = read(message.buffer)
  assert.deepEqual({ ...frame, data: Array.from(frame.data) }, { kind: 2, key: true, jumped: false, stream: 513, seq: 70_000, capture_us: 2 ** 40, data: [7, 8] })
  assert.equal(read(new ArrayBuffer(15)), null)
})

test('what is encoded keeps its shape, is even, and is never enlarged', () => {
  assert.deepEqual(fit(1280, 720, { width: 640, height: 640 }), { width: 640, height: 360 })
  assert.deepEqual(fit(641, 359, { width: 1920, height: 1080 }), { width: 640, height: 358 })
  assert.deepEqual(fit(720, 1280, { width: 1280, height: 720 }), { width: 404, height: 720 })
})

test('figures are kept for two minutes, and go with their call', () => {
  const view = golden('video')
  let kept = {}
  for (let second = 0; second < 200; second += 1) kept = withView(kept, view, 1000 * second + 1e6)
  const [samples] = Object.values(kept)
  assert.equal(samples.length, 120)
  assert.equal(samples.at(-1).values['got camera rate'], 29.8)
  assert.equal(withView(kept, view, samples.at(-1).at_ms + 100), kept, 'ten views a second are one sample')
  assert.deepEqual(withView(kept, { ...view, calls: [] }, 0), {})
  assert.equal(points([0, null, 50], 100).split(' ').length, 2)
})
