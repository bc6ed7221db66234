// Holds the one state, and the way in: `dispatch` for what happened, `send` for what the person asks of the daemon.

import { signal } from '../vendor/signals.mjs'
import { initial, update } from './state.js'

/**
 * @typedef {import('./state.js').State} State
 * @typedef {import('./state.js').Event} Event
 * @typedef {import('./protocol.js').Command} Command
 */

/** The state without its fast part: views are functions of this. @type {import('@preact/signals-core').Signal<State>} */
export const scene = signal(initial)
/** Levels change ten times a second; only meters look here. @type {import('@preact/signals-core').Signal<Pick<State, 'levels'|'loud_at'>>} */
export const levels = signal({ levels: null, loud_at: {} })

/** @type {State} */
let state = initial
/** @type {(id: string, command: Command) => boolean} */
let transport = () => false
/** @type {((state: State, before: State) => void)[]} */
const watchers = []

/** @param {Event} event */
export function dispatch(event) {
  const before = state
  state = update(state, event)
  if (state === before) return
  if (state.levels !== before.levels || state.loud_at !== before.loud_at) levels.value = { levels: state.levels, loud_at: state.loud_at }
  if (event.type !== 'levels') scene.value = state
  for (const watcher of watchers) watcher(state, before)
}

/** @returns {State} */
export function current() {
  return state
}

/** Calls a function after each change: for effects on the world outside the page's tree. @param {(state: State, before: State) => void} watcher */
export function watch(watcher) {
  watchers.push(watcher)
}

/** @param {(id: string, command: Command) => boolean} how */
export function setTransport(how) {
  transport = how
}

/** Asks the daemon for something. @param {Command} command */
export function send(command) {
  const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  dispatch({ type: 'sent', id, command })
  if (!transport(id, command)) {
    dispatch({ type: 'reply', id, ok: false, error: { what: '', works: '', do: '' } })
  }
}

/** The daemon's wall clock now, milliseconds. */
export function now() {
  return Date.now() + state.skew_ms
}
