// Who and what stands where on the stage. Pure.

/**
 * @typedef {import('./protocol.js').Call} Call
 * @typedef {'auto'|'grid'|'speaker'|'presenter'} Layout
 * @typedef {{id: string, peer_id: string, mine: boolean, track: 'camera'|'screen'|null}} Spot track: null is a person without a picture
 * @typedef {{mode: 'voice'|'speaker'|'grid'|'presenter', main: Spot|null, rest: Spot[], self: Spot|null}} Arrangement
 *   rest: the other tiles of a grid, or the strip beside the main one; self: the own picture that floats
 */

/** @param {Call} call @param {string} me @returns {{people: Spot[], shares: Spot[]}} */
function spots(call, me) {
  const has = (/** @type {string} */ peer_id, /** @type {string} */ track) => call.tracks.some((each) => each.peer_id === peer_id && each.track === track)
  const people = [call.peer.peer_id, me].map((peer_id) => ({
    id: 'person ' + peer_id, peer_id, mine: peer_id === me, track: has(peer_id, 'camera') ? /** @type {const} */ ('camera') : null,
  }))
  const shares = [call.peer.peer_id, me].filter((peer_id) => has(peer_id, 'screen')).map((peer_id) => ({
    id: 'screen ' + peer_id, peer_id, mine: peer_id === me, track: /** @type {const} */ ('screen'),
  }))
  return { people, shares }
}

/**
 * @param {Call} call @param {string} me @param {Layout} wanted
 * @returns {Arrangement}
 */
export function arrange(call, me, wanted) {
  const { people, shares } = spots(call, me)
  const [peer, self] = /** @type {[Spot, Spot]} */ (people)
  // One's own screen inside one's own screen is a hall of mirrors: it is shown large only to those who ask.
  const share = shares.find((each) => !each.mine) ?? (wanted === 'presenter' ? shares[0] : undefined)
  const ringing = call.state === 'calling' || call.state === 'ringing_out'
  if (ringing && self.track) return { mode: 'speaker', main: self, rest: [], self: null }
  if (call.tracks.length === 0) return { mode: 'voice', main: peer, rest: [], self }
  if (wanted === 'grid') return { mode: 'grid', main: null, rest: [...shares, ...people], self: null }
  if (share && (wanted === 'presenter' || wanted === 'auto')) {
    return { mode: 'presenter', main: share, rest: [...shares.filter((each) => each !== share), ...people], self: null }
  }
  // Beside a strip of tiles the own one stands in it: floating, it would lie over the gap.
  if (shares.length > 0) return { mode: 'speaker', main: peer, rest: [...shares, self], self: null }
  return { mode: peer.track || self.track ? 'speaker' : 'voice', main: peer, rest: [], self }
}

/** Layouts that make sense for a call. @param {Call} call @returns {Layout[]} */
export function choices(call) {
  return call.tracks.some((each) => each.track === 'screen') ? ['auto', 'grid', 'speaker', 'presenter'] : ['auto', 'grid', 'speaker']
}

/** Columns of a grid. @param {number} n */
export function columns(n) {
  return n <= 1 ? 1 : n <= 4 ? 2 : n <= 9 ? 3 : n <= 16 ? 4 : 5
}

/** @typedef {'tl'|'tr'|'bl'|'br'} Corner */

/** The corner a key moves to. @param {Corner} corner @param {string} key @returns {Corner} */
export function cornerByKey(corner, key) {
  const [row, side] = /** @type {[string, string]} */ (/** @type {unknown} */ ([...corner]))
  const next = key === 'ArrowUp' ? 't' + side : key === 'ArrowDown' ? 'b' + side : key === 'ArrowLeft' ? row + 'l' : key === 'ArrowRight' ? row + 'r' : corner
  return /** @type {Corner} */ (next)
}

/** The corner nearest to a point of a box, both from 0 to 1. @param {number} x @param {number} y @returns {Corner} */
export function cornerAt(x, y) {
  return /** @type {Corner} */ ((y < 0.5 ? 't' : 'b') + (x < 0.5 ? 'l' : 'r'))
}
