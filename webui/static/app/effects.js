// What a change of state does outside the page's tree: title, theme, meters, announcements, notifications.

import { ringingCall, stageCall, wantsLevels, wantsMonitor } from './derive.js'
import { has, t } from './i18n.js'
import { dispatch, send } from './store.js'

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
  if (call && call.state !== 'ended') return t('title.call', { name: call.peer.name })
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
  const shown = new Notification(ringing.peer.name, { body: t('ring.voice'), tag: ringing.id, icon: '/icons/ahoy-192.png' })
  shown.addEventListener('click', () => {
    window.focus()
    shown.close()
  })
}
