// What the page knows, and the one function that changes it. Pure: no clock, no socket, no document.

/**
 * @typedef {import('./protocol.js').View} View
 * @typedef {import('./protocol.js').Command} Command
 * @typedef {import('./protocol.js').Problem} Problem
 * @typedef {import('./protocol.js').LevelsMessage} LevelsMessage
 * @typedef {import('./protocol.js').Call} Call
 *
 * @typedef {{page: 'people'|'calls'|'settings', peer: string|null, section: string|null}} Route
 * @typedef {{kind: 'add', card: string}|{kind: 'new-call'}|{kind: 'remove', peer: string}|{kind: 'rename', peer: string}|{kind: 'connection'}
 *   |{kind: 'card'}|{kind: 'keys'}|{kind: 'clear-recent'}|{kind: 'revoke', id: string}} Dialog
 * @typedef {'devices'|'camera'|'share'|'layout'|'more'|'security'|'stats'} Popover
 * @typedef {{id: string, kind: 'info'|'warn'|'saved', text: string, works: string, do: string}} Toast
 * @typedef {'starting'|'pairing'|'connecting'|'open'|'lost'} Link
 *
 * @typedef {object} State
 * @property {Link} link how the page stands with the daemon
 * @property {'none'|'no-token'|'revoked'|'wrong-code'|'too-many'} pairing why the page asks for a code
 * @property {View|null} view what the daemon said last; kept while the link is lost
 * @property {number} skew_ms daemon's wall clock minus the page's
 * @property {LevelsMessage|null} levels
 * @property {Record<string, number>} loud_at when each peer was last heard, milliseconds of the page's clock
 * @property {Route} route
 * @property {string|null} stage id of the call whose stage is open
 * @property {boolean} minimised the call goes on, the person looks at something else
 * @property {import('./layout.js').Layout} layout how the stage is laid out
 * @property {import('./layout.js').Corner} corner where the own picture floats
 * @property {boolean} panel details beside the conversation
 * @property {Dialog|null} dialog
 * @property {Popover|null} popover
 * @property {string|null} replying call for which a decline message is being chosen
 * @property {string} search
 * @property {'name'|'sound'|'card'|null} first step of the first run
 * @property {Toast[]} toasts
 * @property {string[]} closed notices that were dismissed here
 * @property {Record<string, Command>} pending commands without a reply yet, by request id
 * @property {{of: string, problem: Problem}|null} problem refusal to show in the open dialog
 * @property {{polite: string[], assertive: string}} say for screen readers: [key or text]
 */

/**
 * @typedef {{type: 'link', link: Link, why?: State['pairing']}
 *  |{type: 'view', view: View, now_ms: number}
 *  |{type: 'levels', levels: LevelsMessage, now_ms: number}
 *  |{type: 'bye', reason: string}
 *  |{type: 'sent', id: string, command: Command}
 *  |{type: 'reply', id: string, ok: boolean, result?: Record<string, unknown>, error?: Problem}
 *  |{type: 'route', route: Route}
 *  |{type: 'stage', call: string|null}
 *  |{type: 'minimise', on: boolean}
 *  |{type: 'layout', layout: import('./layout.js').Layout}
 *  |{type: 'corner', corner: import('./layout.js').Corner}
 *  |{type: 'panel', on: boolean}
 *  |{type: 'dialog', dialog: Dialog|null}
 *  |{type: 'popover', popover: Popover|null}
 *  |{type: 'replying', call: string|null}
 *  |{type: 'search', text: string}
 *  |{type: 'first', step: State['first']}
 *  |{type: 'toast', toast: Toast}
 *  |{type: 'toast-closed', id: string}
 *  |{type: 'said', polite: number}} Event
 */

/** @type {State} */
export const initial = {
  link: 'starting', pairing: 'none', view: null, skew_ms: 0, levels: null, loud_at: {},
  route: { page: 'people', peer: null, section: null }, stage: null, minimised: false, layout: 'auto', corner: 'br', panel: false,
  dialog: null, popover: null, replying: null, search: '', first: null, toasts: [], closed: [], pending: {}, problem: null,
  say: { polite: [], assertive: '' },
}

/** A level above which somebody speaks, decibels relative to full scale. */
export const SPEAKING_DB = -45
/** How long the ring around a speaker stays after the last loud moment, milliseconds. */
export const SPEAKING_HOLD_MS = 1500
const TOASTS = 4

/**
 * The state after an event.
 * @param {State} state
 * @param {Event} event
 * @returns {State}
 */
export function update(state, event) {
  switch (event.type) {
    case 'link':
      return {
        ...state, link: event.link, pairing: event.link === 'pairing' ? event.why ?? 'no-token' : state.pairing,
        levels: event.link === 'open' ? state.levels : null, pending: event.link === 'open' ? state.pending : {},
        say: event.link === 'lost' && state.link === 'open' ? { ...state.say, assertive: 'say.daemon_gone' } : state.say,
      }
    case 'view': return afterView(state, event.view, event.now_ms)
    case 'levels': return afterLevels(state, event.levels, event.now_ms)
    case 'bye':
      return event.reason === 'stopping' ? { ...state, link: 'lost' } : { ...state, link: 'pairing', pairing: 'revoked', view: null }
    case 'sent': return { ...state, pending: { ...state.pending, [event.id]: event.command }, problem: null }
    case 'reply': return afterReply(state, event)
    case 'route':
      return {
        ...state, route: event.route, popover: null, dialog: null, problem: null,
        panel: state.panel && event.route.peer === state.route.peer && event.route.page === state.route.page,
      }
    case 'stage': return { ...state, stage: event.call, minimised: false, popover: null }
    case 'minimise': return { ...state, minimised: event.on, popover: null }
    case 'layout': return { ...state, layout: event.layout }
    case 'corner': return { ...state, corner: event.corner }
    case 'panel': return { ...state, panel: event.on }
    case 'dialog': return { ...state, dialog: event.dialog, popover: null, problem: null }
    case 'popover': return { ...state, popover: event.popover }
    case 'replying': return { ...state, replying: event.call }
    case 'search': return { ...state, search: event.text }
    case 'first': return { ...state, first: event.step }
    case 'toast': return addToast(state, event.toast)
    case 'toast-closed': return {
      ...state, toasts: state.toasts.filter((toast) => toast.id !== event.id),
      closed: state.view?.notices.some((notice) => notice.id === event.id) ? [...state.closed, event.id] : state.closed,
    }
    case 'said': return { ...state, say: { polite: state.say.polite.slice(event.polite), assertive: '' } }
  }
}

/** @param {State} state @param {Toast} toast @returns {State} */
function addToast(state, toast) {
  const others = state.toasts.filter((each) => each.id !== toast.id)
  return { ...state, toasts: [...others, toast].slice(-TOASTS) }
}

/** @param {State} state @param {View} view @param {number} now_ms @returns {State} */
function afterView(state, view, now_ms) {
  const before = state.view
  /** @type {State} */
  let next = { ...state, view, skew_ms: view.now_ms - now_ms }

  // The first run is what a device without a name sees; once begun it stays until its last step is done.
  if (next.first === null && view.me.name === '') next.first = 'name'

  next.say = announcements(state, before, view)

  // A call that began to exist while the page looked opens its stage; one that is gone closes it.
  const live = view.calls.filter((call) => onStage(call))
  const known = new Set((before?.calls ?? []).map((call) => call.id))
  const open = live.find((call) => call.id === state.stage)
  const fresh = live.find((call) => !known.has(call.id) || wasRinging(before, call.id))
  if (fresh && fresh.id !== state.stage) next = { ...next, stage: fresh.id, minimised: before === null && state.minimised, popover: null }
  else if (!open) next = { ...next, stage: live[0]?.id ?? null, minimised: live.length > 0 && state.minimised, popover: null }
  if (next.replying !== null && !view.calls.some((call) => call.id === next.replying && call.state === 'ringing_in')) next.replying = null

  // Notices are toasts until the daemon takes them back or the person closes them.
  next.closed = state.closed.filter((id) => view.notices.some((notice) => notice.id === id))
  const gone = (before?.notices ?? []).filter((notice) => !view.notices.some((each) => each.id === notice.id)).map((notice) => notice.id)
  next.toasts = next.toasts.filter((toast) => !gone.includes(toast.id))
  for (const notice of view.notices) {
    if (!next.closed.includes(notice.id)) next = addToast(next, { kind: 'warn', id: notice.id, text: notice.text, works: notice.works, do: notice.do })
  }
  for (const was of before?.calls ?? []) {
    for (const toast of saved(was, view.calls.find((call) => call.id === was.id))) next = addToast(next, toast)
  }
  if (next.dialog && 'peer' in next.dialog && !view.contacts.some((contact) => next.dialog && 'peer' in next.dialog && contact.peer_id === next.dialog.peer)) next.dialog = null
  return next
}

/**
 * Whether a call has a stage of its own: everything but one that rings here, one that this person ended (unless it has found
 * something out), and one that ended before it was answered here.
 * @param {Call} call
 */
export function onStage(call) {
  if (call.state === 'ringing_in' || (call.ended?.reason === 'hangup_local' && !call.echo_test)) return false
  if (call.ended?.reason === 'cancelled' && call.direction === 'outgoing') return false
  return call.state !== 'ended' || call.direction === 'outgoing' || call.active_since_ms !== null || call.ended?.reason === 'failed'
}

/** @param {View|null} before @param {string} id */
function wasRinging(before, id) {
  return before?.calls.some((call) => call.id === id && call.state === 'ringing_in') ?? false
}

/**
 * What a screen reader is told about the step from one view to the next.
 * @param {State} state @param {View|null} before @param {View} view @returns {State['say']}
 */
function announcements(state, before, view) {
  let assertive = state.say.assertive
  const polite = [...state.say.polite]
  for (const call of view.calls) {
    const was = before?.calls.find((each) => each.id === call.id)
    if (was) polite.push(...pictureNews(was, call), ...recordingNews(was, call))
    if (was?.state === call.state && was.hold.remote === call.hold.remote) continue
    const say = (/** @type {string} */ key) => `${key}|${call.peer.name}`
    if (call.state === 'ringing_in') assertive = say('say.incoming')
    else if (call.state === 'reconnecting') assertive = say('say.lost')
    else if (call.state === 'ringing_out') polite.push(say('say.ringing'))
    else if (call.state === 'active' && was?.state === 'reconnecting') polite.push(say('say.back'))
    else if (call.state === 'active' && was?.state !== 'active') polite.push(say('say.connected'))
    else if (call.state === 'active' && was) polite.push(say(call.hold.remote ? 'say.held' : 'say.resumed'))
    else if (call.state === 'ended' && was) polite.push(say('say.ended'))
  }
  const mic = view.devices.microphone
  if (before && mic.state !== 'ok' && before.devices.microphone.state === 'ok' && mic.message) assertive = mic.message
  return { polite, assertive }
}

/** What is said of the other's pictures. @param {Call} was @param {Call} call @returns {string[]} */
function pictureNews(was, call) {
  if (call.state !== 'active') return []
  const shows = (/** @type {Call} */ of, /** @type {string} */ track) => of.tracks.some((each) => each.peer_id === call.peer.peer_id && each.track === track)
  return ['camera', 'screen'].filter((track) => shows(was, track) !== shows(call, track))
    .map((track) => 'say.' + track + (shows(call, track) ? '_on|' : '_off|') + call.peer.name)
}

/** Who began to record, or stopped; nobody is recorded without hearing it. @param {Call} was @param {Call} call @returns {string[]} */
function recordingNews(was, call) {
  if (call.state === 'ended') return []
  const own = (/** @type {Call} */ of) => of.recording.own === 'on'
  const said = own(was) === own(call) ? [] : [own(call) ? 'say.records' : 'say.records-no']
  if (was.recording.theirs !== call.recording.theirs) said.push(call.recording.theirs ? 'say.recorded' : 'say.recorded-no')
  return said.map((key) => key + '|' + call.peer.name)
}

/** Where a recording lies that was made here. @param {Call} was @param {Call|undefined} call @returns {Toast[]} */
function saved(was, call) {
  const { file } = was.recording
  if (!file || call?.recording.file) return []
  return [{ id: 'recorded-' + file, kind: 'saved', text: '', works: file, do: '' }]
}

/** @param {State} state @param {LevelsMessage} levels @param {number} now_ms @returns {State} */
function afterLevels(state, levels, now_ms) {
  const loud_at = { ...state.loud_at }
  for (const [peer, level] of Object.entries(levels.peers)) if (level > SPEAKING_DB) loud_at[peer] = now_ms
  for (const [peer, at] of Object.entries(loud_at)) if (now_ms - at > SPEAKING_HOLD_MS) delete loud_at[peer]
  return { ...state, levels, loud_at }
}

/**
 * @param {State} state
 * @param {{id: string, ok: boolean, result?: Record<string, unknown>, error?: Problem}} reply
 * @returns {State}
 */
function afterReply(state, reply) {
  const command = state.pending[reply.id]
  if (!command) return state
  const { [reply.id]: _done, ...pending } = state.pending
  /** @type {State} */
  const next = { ...state, pending }
  if (reply.ok) {
    const closes = { add_contact: 'add', rename_contact: 'rename', remove_contact: 'remove', clear_recent: 'clear-recent', revoke_session: 'revoke' }
    const dialog = /** @type {Record<string, string>} */ (closes)[command.do]
    if (dialog !== undefined && next.dialog?.kind === dialog) next.dialog = null
    if (command.do === 'set_name' && state.first === 'name') return { ...next, first: 'sound' }
    if (command.do === 'dial' && typeof reply.result?.call === 'string') return { ...next, dialog: null, stage: reply.result.call, minimised: false }
    if (command.do === 'add_contact' && typeof reply.result?.peer_id === 'string') {
      return { ...next, search: '', route: { page: 'people', peer: reply.result.peer_id, section: null } }
    }
    return next
  }
  const problem = reply.error ?? { what: '', works: '', do: '' }
  if (next.dialog) return { ...next, problem: { of: command.do, problem } }
  return addToast(next, { id: 'refused-' + command.do, kind: 'warn', text: problem.what, works: problem.works, do: problem.do })
}
