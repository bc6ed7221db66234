// The words the daemon and the page speak: types only, and the check that a message is one of them.

/**
 * @typedef {'unverified'|'verified'|'changed'} Verified
 * @typedef {{what: string, works: string, do: string}} Problem what happened, what still works, what to do
 * @typedef {{peer_id: string, name: string, kind: 'person'|'echo', verified: Verified, presence: 'online'|'offline',
 *   nearby: boolean, safety_number: string, added_at_ms: number, hide_address?: boolean}} Contact
 * @typedef {{peer_id: string, name: string, known: boolean}} Nearby
 * @typedef {{peer_id: string, name: string, known: boolean, verified: Verified, kind: 'person'|'echo'}} Peer
 * @typedef {'calling'|'ringing_out'|'ringing_in'|'connecting'|'active'|'reconnecting'|'interrupted'|'ended'} CallState
 * @typedef {'hangup_local'|'hangup_remote'|'declined'|'busy'|'cancelled'|'timeout'|'elsewhere'|'failed'|'crashed'|'lost'|'offline'|'replaced'} EndReason
 * @typedef {{kind: string, address: string, rtt_ms: number|null}} Path
 * @typedef {{word: 'good'|'fair'|'poor', text: string, playout_delay_ms: number|null, delay_ms: number|null, loss_percent: number, concealed_percent: number}} Quality
 * @typedef {{peer_id: string, track: 'camera'|'screen', width: number|null, height: number|null, frame_rate: number|null,
 *   bitrate_bps: number|null, frozen: boolean}} Track a picture that somebody shows
 * @typedef {{code: string, broken: boolean, text: string, works: string, do: string}} Fault
 * @typedef {{text: string, speech_dbfs: number|null, background_dbfs: number, peak_dbfs: number, returned_dbfs: number,
 *   round_trip_ms: number|null, echo_return_loss_db: number|null, lost_percent: number, faults: Fault[]}} EchoTest
 * @typedef {{id: string, peer: Peer, direction: 'outgoing'|'incoming', media: 'voice'|'video', state: CallState,
 *   hold: {local: boolean, remote: boolean}, muted: boolean, tracks: Track[],
 *   recording: {own: 'off'|'asked'|'on', file: string|null, theirs: boolean}, offered_at_ms: number, active_since_ms: number|null,
 *   reconnecting_since_ms: number|null, path: Path|null, quality: Quality|null,
 *   security: {words: string[], suite: string}|null,
 *   ended: {reason: EndReason, text: string, message: string|null, can_retry: boolean}|null, echo_test?: EchoTest}} Call
 * @typedef {'answered'|'missed'|'declined'|'busy'|'cancelled'|'no_answer'|'failed'|'lost'} Outcome
 * @typedef {{call: string, peer_id: string, name: string, direction: 'outgoing'|'incoming', media: 'voice'|'video', at_ms: number,
 *   duration_ms: number, outcome: Outcome, text: string, message: string|null, seen: boolean}} Recent
 * @typedef {{id: string, name: string, is_default: boolean}} Device
 * @typedef {{id: string, state: 'ok'|'missing'|'busy'|'no_sound', message: string|null}} Chosen
 * @typedef {{id: string, name: string, kind: 'camera'|'screen'|'window'}} VideoDevice
 * @typedef {{id: string, state: 'ok'|'missing'|'busy'|'refused', message: string|null}} ChosenVideo
 * @typedef {{microphones: Device[], speakers: Device[], microphone: Chosen, speaker: Chosen,
 *   cameras: VideoDevice[], screens: VideoDevice[], camera: ChosenVideo, screen: ChosenVideo}} Devices
 * @typedef {{strangers_nearby_may_ring: boolean, visible_on_lan: boolean, ring_volume: number, single_key_shortcuts: boolean,
 *   theme: 'system'|'light'|'dark', auto_answer: 'off'|'contacts'|'all',
 *   echo_cancellation: boolean, noise_suppression: boolean, auto_gain: boolean, music: boolean, low_data: boolean, mirror_self: boolean,
 *   screen_content: 'auto'|'text'|'motion'}} Settings
 * @typedef {{id: string, browser: string, last_used_ms: number, current: boolean}} Session
 * @typedef {{id: string, text: string, works: string, do: string}} Notice
 * @typedef {{size: number, rows: string[]}} QrCode
 * @typedef {{
 *   revision: number, version: string, now_ms: number,
 *   me: {name: string, peer_id: string, card: string, card_qr: QrCode, addresses: string[]},
 *   ready: {state: 'ready'|'connecting'|'offline', text: string, listening: string[], media_ports: number[], last_error: string|null, mdns: boolean, facts?: {code: string, title: string, text: string, do: string|null}[]},
 *   contacts: Contact[], nearby: Nearby[], calls: Call[], recent: Recent[], devices: Devices, settings: Settings,
 *   sessions: Session[], notices: Notice[]
 * }} View
 */

/**
 * @typedef {{do: 'set_name', name: string}
 *  |{do: 'dial', who: string, media: 'voice'|'video'}
 *  |{do: 'answer', call: string, media?: 'voice'|'video'}
 *  |{do: 'hang_up'|'rejoin'|'dismiss', call: string}
 *  |{do: 'picture', call: string, track: 'camera'|'screen', on: boolean, source?: string}
 *  |{do: 'decline', call: string, message?: string}
 *  |{do: 'hold'|'mute'|'record', call: string, on: boolean}
 *  |{do: 'add_contact', card: string}
 *  |{do: 'add_nearby'|'remove_contact', peer_id: string}
 *  |{do: 'rename_contact', peer_id: string, name: string}
 *  |{do: 'verify_contact', peer_id: string, verified: boolean}
 *  |{do: 'hide_address', peer_id: string, on: boolean}
 *  |{do: 'choose_device', role: 'microphone'|'speaker'|'camera'|'screen', id: string}
 *  |{do: 'test_sound'|'clear_recent'|'mark_recent_seen'}
 *  |{do: 'monitor_microphone', on: boolean}
 *  |({do: 'set_settings'} & Partial<Settings>)
 *  |{do: 'revoke_session', id: string}} Command
 */

/**
 * @typedef {{type: 'levels', microphone: number, speaker: number, peers: Record<string, number>, speaking_while_muted: boolean,
 *   microphone_silent_ms: number}} LevelsMessage decibels relative to full scale
 * @typedef {{type: 'bye', reason: 'revoked'|'stopping'|'unauthorised'}} ByeMessage
 * @typedef {{type: 'reply', id: string, ok: true, result: Record<string, unknown>}
 *   |{type: 'reply', id: string, ok: false, error: Problem}} ReplyMessage
 * @typedef {{type: 'view', view: View}|ReplyMessage|LevelsMessage|ByeMessage} FromDaemon
 * @typedef {{type: 'auth', token: string}|{type: 'command', id: string, command: Command}|{type: 'levels', on: boolean}} ToDaemon
 */

/**
 * A message of the daemon, or null when it is none this page knows: a newer daemon may say more.
 * @param {unknown} data
 * @returns {FromDaemon|null}
 */
export function parseMessage(data) {
  if (typeof data !== 'string') return null
  /** @type {any} */
  let message
  try {
    message = JSON.parse(data)
  } catch {
    return null
  }
  switch (message?.type) {
    case 'view': return Array.isArray(message.view?.calls) && Array.isArray(message.view?.contacts) ? message : null
    case 'reply': return typeof message.id === 'string' && typeof message.ok === 'boolean' ? message : null
    case 'levels': return typeof message.microphone === 'number' ? message : null
    case 'bye': return typeof message.reason === 'string' ? message : null
    default: return null
  }
}
