// Questions the views ask of the state. Pure.

import { onStage } from './state.js'

/**
 * @typedef {import('./state.js').State} State
 * @typedef {import('./protocol.js').View} View
 * @typedef {import('./protocol.js').Call} Call
 * @typedef {import('./protocol.js').Contact} Contact
 * @typedef {import('./protocol.js').Recent} Recent
 */

/** The call whose stage is open or minimised. @param {State} state @returns {Call|null} */
export function stageCall(state) {
  return state.view?.calls.find((call) => call.id === state.stage && onStage(call)) ?? null
}

/** The oldest call that rings here. @param {State} state @returns {Call|null} */
export function ringingCall(state) {
  return state.view?.calls.find((call) => call.state === 'ringing_in') ?? null
}

/** A call that would be put on hold by answering another. @param {State} state @returns {Call|null} */
export function runningCall(state) {
  return state.view?.calls.find((call) => call.state === 'active' || call.state === 'reconnecting' || call.state === 'connecting') ?? null
}

/** Calls missed since the list was last looked at. @param {State} state */
export function missedCount(state) {
  return (state.view?.recent ?? []).filter((each) => each.outcome === 'missed' && !each.seen).length
}

/** @param {State} state @param {string|null} peer @returns {Contact|null} */
export function contactOf(state, peer) {
  return state.view?.contacts.find((contact) => contact.peer_id === peer) ?? null
}

/** Events with one person, oldest first. @param {View} view @param {string} peer @returns {Recent[]} */
export function eventsWith(view, peer) {
  return view.recent.filter((each) => each.peer_id === peer).sort((a, b) => a.at_ms - b.at_ms)
}

/** The text of a contact card inside what was typed or pasted, or null. @param {string} text @returns {string|null} */
export function cardIn(text) {
  const found = /(?:ahoy:c\/|https:\/\/\S+\/c#)[A-Za-z0-9_-]{40,}/.exec(text)
  return found ? found[0] : null
}

/** @param {string} name @param {string} query */
export function matches(name, query) {
  const plain = (/** @type {string} */ text) => text.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLocaleLowerCase()
  return plain(query).split(/\s+/).every((word) => plain(name).includes(word))
}

/**
 * People as listed: who was called last comes first, then by name; the Echo comes last unless it was called.
 * @param {View} view @param {string} query
 * @returns {{contact: Contact, last: Recent|null, missed: number}[]}
 */
export function peopleRows(view, query) {
  return view.contacts
    .filter((contact) => matches(contact.name, query))
    .map((contact) => {
      const events = view.recent.filter((each) => each.peer_id === contact.peer_id)
      const last = events.reduce((/** @type {Recent|null} */ newest, each) => (newest && newest.at_ms >= each.at_ms ? newest : each), null)
      return { contact, last, missed: events.filter((each) => each.outcome === 'missed' && !each.seen).length }
    })
    .sort((a, b) => (b.last?.at_ms ?? 0) - (a.last?.at_ms ?? 0) || kindOrder(a.contact) - kindOrder(b.contact) || a.contact.name.localeCompare(b.contact.name))
}

/** @param {Contact} contact */
const kindOrder = (contact) => (contact.kind === 'echo' ? 1 : 0)

/** People on this network who are no contacts. @param {View} view @param {string} query */
export function nearbyRows(view, query) {
  return view.nearby.filter((each) => !each.known && matches(each.name, query))
}

/**
 * How full a level meter is, 0 to 1: -60 dB and less is empty, 0 dB is full.
 * @param {number|undefined} decibels
 */
export function meter(decibels) {
  if (decibels === undefined || !Number.isFinite(decibels)) return 0
  return Math.min(1, Math.max(0, (decibels + 60) / 60))
}

/** Hues that look well in both themes, degrees. */
const HUES = [168, 28, 262, 212, 50, 340, 185, 318, 235, 290]

/** A stable hue for a person. @param {string} peer */
export function hue(peer) {
  // FNV-1a: near letters give far hues.
  let hash = 0x811c9dc5
  for (const letter of peer) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193)
  return HUES[((hash >>> 16) ^ (hash & 0xffff)) % HUES.length]
}

/** First letter of a name as a person would draw it. @param {string} name */
export function initialOf(name) {
  const first = [...new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(name.trim())][0]
  return (first?.segment ?? '?').toLocaleUpperCase()
}

/** Only the first word of a name, for short sentences. @param {string} name */
export function shortName(name) {
  return name.trim().split(/\s+/)[0] || name
}

/** Whether levels are needed: somebody looks at a meter, or a call is on. @param {State} state */
export function wantsLevels(state) {
  if (state.link !== 'open') return false
  return wantsMonitor(state) || (state.view?.calls.some((call) => call.state === 'active' || call.state === 'reconnecting') ?? false)
}

/** Whether the microphone is to be listened to without a call. @param {State} state */
export function wantsMonitor(state) {
  const inCall = state.view?.calls.some((call) => call.state === 'active') ?? false
  const testing = state.first === 'sound' || (state.first === null && state.route.page === 'settings' && state.route.section === 'devices')
  return !inCall && testing
}
