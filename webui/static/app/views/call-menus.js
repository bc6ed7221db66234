// The menus of a call: camera, what to share, how the stage is laid out, and the sheet that holds the rest on a telephone.

import { html } from '../html.js'
import { t } from '../i18n.js'
import { choices } from '../layout.js'
import { toggleFullScreen } from '../keys.js'
import { cannot } from '../media/tiles.js'
import { chooseCamera, show, shows, stop } from '../pictures.js'
import { dispatch, send } from '../store.js'
import { CameraPicker } from './devices.js'
import { Icon, Popover, Switch } from './parts.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 * @typedef {import('../protocol.js').Call} Call
 */

/** @param {{view: View, call: Call, onClose: () => void}} props */
export function CameraMenu({ view, call, onClose }) {
  return html`<${Popover} label=${t('camera.menu')} onClose=${onClose}><div class="devices"><${CameraPicker} devices=${view.devices} onChoose=${(/** @type {string} */ id) => void chooseCamera(call, id)} /></div>
    <${PictureSwitches} view=${view} /></${Popover}>`
}

/** @param {{view: View}} props */
export function PictureSwitches({ view }) {
  return html`<${Switch} label=${t('picture.low_data')} hint=${t('picture.low_data-hint')} on=${view.settings.low_data} onChange=${(/** @type {boolean} */ on) => send({ do: 'set_settings', low_data: on })} />
    <${Switch} label=${t('picture.mirror_self')} hint=${t('picture.mirror_self-hint')} on=${view.settings.mirror_self} onChange=${(/** @type {boolean} */ on) => send({ do: 'set_settings', mirror_self: on })} />`
}

/** Icons of what can be shared. @type {Record<string, string>} */
const SHARE_ICONS = { screen: 'i-monitor', window: 'i-app-window', browser: 'i-globe' }

/** What to share: screens and windows of this computer, or what the browser offers. @param {{view: View, call: Call, onClose: () => void}} props */
export function ShareMenu({ view, call, onClose }) {
  const on = shows(view, call, 'screen')
  const { screens, screen } = view.devices
  const pick = (/** @type {string} */ id) => {
    void show(call, 'screen', id)
    onClose()
  }
  // What was chosen on the command line (a file, the test card) is in no list.
  const named = ['default', 'null', 'browser', ''].includes(screen.id) || screens.some((each) => each.id === screen.id)
  const here = named ? screens : [...screens, { id: screen.id, name: screen.id, kind: 'screen' }]
  const item = (/** @type {{id: string, name: string, kind: string}} */ each) => html`<li key=${each.id}><button type="button" class="item" aria-pressed=${on && screen.id === each.id} onClick=${() => pick(each.id)}>
    <${Icon} name=${SHARE_ICONS[each.kind] ?? 'i-monitor'} /><span>${each.name}</span>${on && screen.id === each.id && html`<${Icon} name="i-check" small />`}</button></li>`
  return html`<${Popover} label=${t('share.menu')} onClose=${onClose}><h2>${t('share.title', { name: call.peer.name })}</h2>
    ${on && html`<button type="button" class="btn danger wide" onClick=${() => { stop(call, 'screen'); onClose() }}><${Icon} name="i-monitor-off" small />${t('share.stop')}</button>`}
    ${screen.message && html`<p class="warn" role="status">${screen.message}</p>`}
    ${here.length > 0 ? html`<ul class="items" role="list">${here.map(item)}</ul>` : html`<p class="hint">${t('share.none')}</p>`}
    ${!cannot.value.encode && html`<ul class="items" role="list">${item({ id: 'browser', name: t('share.browser'), kind: 'browser' })}</ul><p class="hint">${t('share.browser-hint')}</p>`}
    <fieldset class="radios"><legend>${t('share.content')}</legend>${(/** @type {const} */ (['auto', 'text', 'motion'])).map((content) => html`
      <label key=${content}><input type="radio" name="screen-content" checked=${view.settings.screen_content === content} onChange=${() => send({ do: 'set_settings', screen_content: content })} /><span><b>${t('share.content-' + content)}</b><small>${t('share.content-' + content + '-hint')}</small></span></label>`)}</fieldset></${Popover}>`
}

/** @param {{state: State, call: Call, onClose: () => void}} props */
export function LayoutMenu({ state, call, onClose }) {
  return html`<${Popover} label=${t('layout.menu')} onClose=${onClose} class="under">${choices(call).map((layout) => html`<button type="button" key=${layout} class="item" aria-pressed=${state.layout === layout}
    onClick=${() => { dispatch({ type: 'layout', layout }); onClose() }}><${Icon} name=${LAYOUT_ICONS[layout]} /><span><b>${t('layout.' + layout)}</b><small>${t('layout.' + layout + '-hint')}</small></span>${state.layout === layout && html`<${Icon} name="i-check" small />`}</button>`)}</${Popover}>`
}

/** @type {Record<import('../layout.js').Layout, string>} */
export const LAYOUT_ICONS = { auto: 'i-sparkles', grid: 'i-layout-grid', speaker: 'i-user', presenter: 'i-presentation' }

/** The other side is told first; its device says so in `recording`. @param {Call} call */
export const toggleRecording = (call) => send({ do: 'record', call: call.id, on: call.recording.own === 'off' })

/** On a telephone: all that has no room in the dock. @param {{state: State, view: View, call: Call, onClose: () => void}} props */
export function MoreMenu({ state, view, call, onClose }) {
  const open = (/** @type {import('../state.js').Popover} */ popover) => () => dispatch({ type: 'popover', popover })
  const talking = call.state === 'active' || call.state === 'reconnecting'
  const item = (/** @type {string} */ icon, /** @type {string} */ words, /** @type {() => void} */ act, /** @type {boolean|undefined} */ pressed = undefined) =>
    html`<button type="button" class="item" aria-pressed=${pressed} onClick=${act}><${Icon} name=${icon} /><span>${words}</span></button>`
  return html`<${Popover} label=${t('more')} onClose=${onClose} class="sheet">
    ${talking && item(call.hold.local ? 'i-play' : 'i-pause', t('hold'), () => { send({ do: 'hold', call: call.id, on: !call.hold.local }); onClose() }, call.hold.local)}
    ${item('i-headphones', t('devices.menu'), open('devices'))}
    ${item('i-video', t('camera.menu'), open('camera'))}
    ${call.tracks.length > 0 && item('i-layout-grid', t('layout.menu'), open('layout'))}
    ${talking && item('i-disc', t('rec'), () => { toggleRecording(call); onClose() }, call.recording.own !== 'off')}
    ${call.security && item('i-shield-check', t('security.title'), open('security'))}
    ${talking && item('i-activity', t('stats.title'), open('stats'))}
    ${item('i-maximize-2', t('stage.full'), () => { void toggleFullScreen(); onClose() })}
    <${Switch} label=${t('picture.low_data')} on=${view.settings.low_data} onChange=${(/** @type {boolean} */ on) => send({ do: 'set_settings', low_data: on })} /></${Popover}>`
}
