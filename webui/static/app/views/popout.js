// The call in a small window of its own above all others (document picture in picture), while the person works elsewhere.

import { render } from '../../vendor/preact.mjs'
import { effect, signal } from '../../vendor/signals.mjs'
import { stageCall } from '../derive.js'
import { html } from '../html.js'
import { t } from '../i18n.js'
import { arrange } from '../layout.js'
import { shows, toggleCamera } from '../pictures.js'
import { scene, send } from '../store.js'
import { Icon } from './parts.js'
import { Person, Share } from './tile.js'

/** Whether the small window is open. */
export const out = signal(false)
/** @type {Window|null} */
let small = null

const maker = () => /** @type {any} */ (globalThis).documentPictureInPicture

export const canPopOut = () => maker() !== undefined

export async function popOut() {
  if (small) return small.close()
  try {
    small = /** @type {Window} */ (await maker().requestWindow({ width: 400, height: 260 }))
  } catch {
    // The browser asks for a click first, or has none of these windows just now.
    return
  }
  const home = small.document
  for (const sheet of ['tokens', 'parts', 'stage', 'video']) {
    const link = home.createElement('link')
    link.rel = 'stylesheet'
    link.href = new URL(`/css/${sheet}.css`, location.href).href
    home.head.append(link)
  }
  home.documentElement.lang = document.documentElement.lang
  home.documentElement.dir = document.documentElement.dir
  home.title = document.title
  const root = home.createElement('div')
  root.className = 'small-call'
  home.body.append(root)
  const end = effect(() => render(html`<${Small} />`, root))
  out.value = true
  small.addEventListener('pagehide', () => {
    end()
    render(null, root)
    small = null
    out.value = false
  })
}

/** Closes it when there is nothing to show any more. */
export function closeWithCall() {
  const call = stageCall(scene.value)
  if (small && (call === null || call.state === 'ended')) small.close()
}

function Small() {
  const state = scene.value
  const call = stageCall(state)
  if (!call || !state.view || call.state === 'ended') return null
  const view = state.view
  const { main, rest } = arrange(call, view.me.peer_id, state.layout === 'presenter' ? 'presenter' : 'auto')
  const spot = main ?? rest[0]
  return html`<div class="small-pic">${spot && (spot.track === 'screen' ? html`<${Share} key=${spot.id} call=${call} spot=${spot} />` : html`<${Person} key=${spot.id} view=${view} call=${call} spot=${spot} />`)}</div>
    <div class="small-bar">
      <button type="button" class=${'ctl' + (call.muted ? ' off' : '')} aria-pressed=${call.muted} aria-label=${t('mute')} onClick=${() => send({ do: 'mute', call: call.id, on: !call.muted })}><${Icon} name=${call.muted ? 'i-mic-off' : 'i-mic'} /></button>
      <button type="button" class="ctl" aria-pressed=${shows(view, call, 'camera')} aria-label=${t('camera')} onClick=${() => void toggleCamera(call)}><${Icon} name=${shows(view, call, 'camera') ? 'i-video' : 'i-video-off'} /></button>
      <button type="button" class="ctl leave" aria-label=${t('stage.leave-call')} onClick=${() => send({ do: 'hang_up', call: call.id })}><${Icon} name="i-phone-off" /></button></div>`
}
