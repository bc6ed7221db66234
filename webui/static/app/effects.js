// What a change of state does outside the page's tree: title, theme, meters, announcements, notifications.

import { ringingCall, stageCall, wantsLevels, wantsMonitor } from './derive.js'
import { has, t } from './i18n.js'
import { remember } from './history.js'
import { follow, forget } from './media/tiles.js'
import { tidyCaptures } from './pictures.js'
import { dispatch, send } from './store.js'
import { closeWithCall } from './views/popout.js'

/**
 * @typedef {import('./state.js').State} State
 */

/** Things said to screen readers within this time are said together. */
const MERGE_MS = 2000

/** @param {{levels: (on: boolean) => void}} ways @returns {(state: State, before: State) => void} */
export function startEffects(ways) {
  let levels = false
  let monitor = false
  let timer = 0
  return (state, before) => {
    document.title = titleOf(state)
    const theme = state.view?.settings.theme ?? 'system'
    if (theme === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
    if (state.link !== 'open') {
      levels = false
      monitor = false
    } else {
      if (wantsLevels(state) !== levels) ways.levels((levels = !levels))
      if (wantsMonitor(state) !== monitor) {
        monitor = !monitor
        // After this change is through: a command is a change of its own.
        queueMicrotask(() => send({ do: 'monitor_microphone', on: monitor }))
      }
    }
    const assertive = document.getElementById('assertive')
    if (assertive && state.say.assertive && state.say.assertive !== before.say.assertive) assertive.textContent = words(state.say.assertive)
    if (state.say.polite.length > 0 && timer === 0) {
      timer = window.setTimeout(() => {
        timer = 0
        const region = document.getElementById('polite')
        const said = polite
        if (region) region.textContent = said.map(words).join('. ')
        dispatch({ type: 'said', polite: said.length })
      }, MERGE_MS)
    }
    const polite = state.say.polite
    if (state.view !== before.view && state.view) {
      remember(state.view, Date.now())
      tidyCaptures(state.view)
      const live = new Set(state.view.calls.flatMap((call) => call.tracks.map((track) => `${call.id} ${track.peer_id} ${track.track}`)))
      forget((name) => live.has(name))
      closeWithCall()
    }
    if (state.link !== before.link) {
      if (state.link === 'open') follow(true)
      else if (state.link === 'pairing') follow(false)
    }
    if (state.layout !== before.layout || state.corner !== before.corner) keepLook(state)
    notify(state, before)
  }
}

/** "key|name" or plain words. @param {string} said */
function words(said) {
  const [key, name] = said.split('|')
  return has(String(key)) ? t(String(key), { name: name ?? '' }) : said
}

/** @param {State} state */
function titleOf(state) {
  const ringing = ringingCall(state)
  if (ringing) return t('title.ringing', { name: ringing.peer.name })
  const call = stageCall(state)
  const shown = state.view !== null && call?.tracks.some((track) => track.peer_id === state.view?.me.peer_id)
  if (call && call.state !== 'ended') return (shown ? '● ' : '') + t('title.call', { name: call.peer.name })
  return t('app.name')
}

/**
 * A notification of the system when a call comes in while the page is hidden. The daemon rings by itself; this only shows who.
 * @param {State} state @param {State} before
 */
function notify(state, before) {
  const ringing = ringingCall(state)
  if (!ringing || ringing.id === ringingCall(before)?.id || document.visibilityState === 'visible') return
  if (!('Notification' in window) || Notification.permission !== 'granted') return
  const shown = new Notification(ringing.peer.name, { body: t(ringing.media === 'video' ? 'ring.video' : 'ring.voice'), tag: ringing.id, icon: '/icons/ahoy-192.png' })
  shown.addEventListener('click', () => {
    window.focus()
    shown.close()
  })
}

const LOOK = 'ahoy.stage'

/** The stage looks next time as it was left. @param {State} state */
function keepLook(state) {
  try {
    localStorage.setItem(LOOK, JSON.stringify({ layout: state.layout, corner: state.corner }))
  } catch { /* storage is off: it looks as at first */ }
}

/** How the stage was left. */
export function takeLook() {
  try {
    const kept = JSON.parse(localStorage.getItem(LOOK) ?? '{}')
    if (['auto', 'grid', 'speaker', 'presenter'].includes(kept.layout)) dispatch({ type: 'layout', layout: kept.layout })
    if (['tl', 'tr', 'bl', 'br'].includes(kept.corner)) dispatch({ type: 'corner', corner: kept.corner })
  } catch { /* not readable: it looks as at first */ }
}
