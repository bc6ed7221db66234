// The keyboard: what a key does where. Single letters are off while something is typed, and can be switched off.

import { contactOf, ringingCall, stageCall } from './derive.js'
import { choices } from './layout.js'
import { answer, dialVideo, shows, stop, toggleCamera } from './pictures.js'
import { current, dispatch, send } from './store.js'

/** @param {EventTarget|null} target */
function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

/** The call that was unmuted by holding Space. @type {string|null} */
let held = null

export function startKeys() {
  window.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing) return
    if (chord(event) || letter(event)) event.preventDefault()
  })
  window.addEventListener('keyup', (event) => {
    if (event.key !== ' ' || held === null) return
    send({ do: 'mute', call: held, on: true })
    held = null
    event.preventDefault()
  })
}

/** @param {KeyboardEvent} event */
function chord(event) {
  const state = current()
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') {
    document.getElementById('search')?.focus()
    return true
  }
  if (event.key === 'F6') {
    const card = document.querySelector('[role=alertdialog] button')
    if (card instanceof HTMLElement) card.focus()
    return card !== null
  }
  if (event.key === 'Escape' && state.popover !== null) {
    dispatch({ type: 'popover', popover: null })
    return true
  }
  if (!event.altKey || !event.shiftKey) return false
  const ringing = ringingCall(state)
  if (event.code === 'Enter' && ringing) {
    void answer(ringing, ringing.media)
    return true
  }
  if (event.code === 'Backspace' && ringing) {
    send({ do: 'decline', call: ringing.id })
    return true
  }
  const contact = contactOf(state, state.route.peer)
  if (event.code === 'KeyA' && contact && !stageCall(state)) {
    send({ do: 'dial', who: contact.peer_id, media: 'voice' })
    return true
  }
  if (event.code === 'KeyV' && contact && contact.kind !== 'echo' && !stageCall(state)) {
    dialVideo(contact.peer_id)
    return true
  }
  return false
}

/** @param {KeyboardEvent} event */
function letter(event) {
  const state = current()
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return false
  if (!(state.view?.settings.single_key_shortcuts ?? false) || state.dialog !== null || document.querySelector('dialog[open]')) return false
  if (event.key === '?') {
    dispatch({ type: 'dialog', dialog: { kind: 'keys' } })
    return true
  }
  const call = stageCall(state)
  if (!call || call.state === 'ended') return false
  if (event.key === ' ' && !event.repeat && call.muted && !(event.target instanceof HTMLButtonElement)) {
    held = call.id
    send({ do: 'mute', call: call.id, on: false })
    return true
  }
  switch (event.key.toLowerCase()) {
    case 'm':
      if (event.repeat) return true
      send({ do: 'mute', call: call.id, on: !call.muted })
      return true
    case 'v':
      if (!event.repeat && call.peer.kind !== 'echo') void toggleCamera(call)
      return true
    case 's':
      if (event.repeat || call.peer.kind === 'echo' || state.view === null) return true
      if (shows(state.view, call, 'screen')) stop(call, 'screen')
      else dispatch({ type: 'popover', popover: state.popover === 'share' ? null : 'share' })
      return true
    case 'l': {
      const all = choices(call)
      const next = all[(all.indexOf(state.layout) + 1) % all.length]
      if (call.tracks.length > 0 && next) dispatch({ type: 'layout', layout: next })
      return true
    }
    case 'f':
      void toggleFullScreen()
      return true
    default: return false
  }
}

export async function toggleFullScreen() {
  try {
    if (document.fullscreenElement) await document.exitFullscreen()
    else await document.documentElement.requestFullscreen()
  } catch { /* the browser refused: the window stays as it is */ }
}
