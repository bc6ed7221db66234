// The settings, one part at a time.

import { html } from '../html.js'
import { ago, number, t } from '../i18n.js'
import { dispatch, now, send } from '../store.js'
import { useState } from '../../vendor/hooks.mjs'
import { Connection } from './dialogs.js'
import { PictureSwitches } from './call-menus.js'
import { CameraPicker, DevicePicker } from './devices.js'
import { Back } from './home.js'
import { Copy, Icon, Qr, Switch } from './parts.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 */

export const SETTINGS = [
  { id: 'profile', icon: 'i-user' }, { id: 'devices', icon: 'i-headphones' }, { id: 'calls', icon: 'i-phone' },
  { id: 'appearance', icon: 'i-sun-moon' }, { id: 'network', icon: 'i-wifi' }, { id: 'browsers', icon: 'i-app-window' },
  { id: 'about', icon: 'i-info' },
]

/** @param {{state: State, view: View, section: string}} props */
export function Settings({ view, section }) {
  const parts = /** @type {Record<string, any>} */ ({ profile: Profile, devices: DevicesPart, calls: CallsPart, appearance: Appearance, network: Network, browsers: Browsers, about: About })
  const Part = parts[section] ?? Profile
  return html`<div class="set"><header class="ch"><${Back} page="settings" /><div class="chx"><h2>${t('settings.' + (parts[section] ? section : 'profile'))}</h2></div></header>
    <div class="set-in"><${Part} view=${view} /></div></div>`
}

/** @param {{view: View}} props */
function Profile({ view }) {
  const [name, setName] = useState(view.me.name)
  const save = (/** @type {Event} */ event) => {
    event.preventDefault()
    send({ do: 'set_name', name })
  }
  return html`<form class="box" onSubmit=${save}><label for="name">${t('profile.name')}</label>
      <div class="line"><input id="name" class="field" maxlength="60" autocomplete="name" value=${name} onInput=${(/** @type {any} */ event) => setName(event.currentTarget.value)} />
        <button class="btn prim" disabled=${name.trim() === '' || name.trim() === view.me.name}>${t('save')}</button></div>
      <p class="hint">${t('profile.name-hint')}</p></form>
    <section class="box"><h3>${t('card.title')}</h3><${Card} view=${view} /></section>
    <section class="box"><h3>${t('panel.device')}</h3><p class="mono">${view.me.peer_id}</p><${Copy} text=${view.me.peer_id} label=${t('panel.copy-id')} /></section>`
}

/** Our own contact card. @param {{view: View}} props */
export function Card({ view }) {
  return html`<div class="card"><${Qr} code=${view.me.card_qr} label=${t('card.qr')} />
    <div><p>${t('card.text')}</p><p class="mono cut">${view.me.card}</p><${Copy} text=${view.me.card} label=${t('card.copy')}>${t('card.copy')}</${Copy}></div></div>`
}

/** @param {{view: View}} props */
function DevicesPart({ view }) {
  const { music } = view.settings
  const set = (/** @type {'echo_cancellation'|'noise_suppression'|'auto_gain'|'music'} */ what) => (/** @type {boolean} */ on) => send({ do: 'set_settings', [what]: on })
  const voice = (/** @type {'echo_cancellation'|'noise_suppression'|'auto_gain'} */ what) =>
    html`<${Switch} label=${t('sound.' + what)} hint=${t('sound.' + what + '-hint')} on=${view.settings[what] && !music} disabled=${music} onChange=${set(what)} />`
  return html`<section class="box"><${DevicePicker} devices=${view.devices} /></section>
    <section class="box"><${CameraPicker} devices=${view.devices} onChoose=${(/** @type {string} */ id) => send({ do: 'choose_device', role: 'camera', id })} />
      <${PictureSwitches} view=${view} /></section>
    <section class="box">${voice('echo_cancellation')}${voice('noise_suppression')}${voice('auto_gain')}
      <${Switch} label=${t('sound.music')} hint=${t('sound.music-hint')} on=${music} onChange=${set('music')} /></section>`
}

/** @param {{view: View}} props */
function CallsPart({ view }) {
  const settings = view.settings
  return html`<section class="box">
      <fieldset class="radios"><legend>${t('calls.auto')}</legend>${(/** @type {const} */ (['off', 'contacts', 'all'])).map((choice) => html`
        <label key=${choice}><input type="radio" name="auto" checked=${settings.auto_answer === choice} onChange=${() => send({ do: 'set_settings', auto_answer: choice })} /><span><b>${t('calls.auto-' + choice)}</b></span></label>`)}</fieldset></section>
    <section class="box"><${Switch} label=${t('calls.nearby')} hint=${t('calls.nearby-hint')} on=${settings.strangers_nearby_may_ring} onChange=${(/** @type {boolean} */ on) => send({ do: 'set_settings', strangers_nearby_may_ring: on })} />
      <${Switch} label=${t('calls.visible')} hint=${t('calls.visible-hint')} on=${settings.visible_on_lan} onChange=${(/** @type {boolean} */ on) => send({ do: 'set_settings', visible_on_lan: on })} /></section>
    <section class="box"><label for="volume">${t('calls.volume')}</label>
      <div class="line"><input id="volume" type="range" min="0" max="100" step="5" value=${settings.ring_volume} onChange=${(/** @type {any} */ event) => send({ do: 'set_settings', ring_volume: Number(event.currentTarget.value) })} />
        <output class="num">${number(settings.ring_volume / 100, { style: 'percent' })}</output></div></section>
    <${Notifications} />`
}

/** Asks the browser, only when the person does. */
function Notifications() {
  const [state, setState] = useState('Notification' in window ? Notification.permission : 'denied')
  const ask = async () => setState(await Notification.requestPermission())
  return html`<section class="box line"><span class="grow"><b>${t('notify.title')}</b><small>${t('notify.' + state)}</small></span>
    ${state === 'default' && html`<button type="button" class="btn" onClick=${ask}>${t('notify.ask')}</button>`}</section>`
}

/** @param {{view: View}} props */
function Appearance({ view }) {
  return html`<section class="box"><fieldset class="radios"><legend>${t('theme.title')}</legend>${(/** @type {const} */ (['system', 'light', 'dark'])).map((theme) => html`
      <label key=${theme}><input type="radio" name="theme" checked=${view.settings.theme === theme} onChange=${() => send({ do: 'set_settings', theme })} /><span><b>${t('theme.' + theme)}</b></span></label>`)}</fieldset></section>
    <section class="box"><${Switch} label=${t('keys.single')} hint=${t('keys.single-hint')} on=${view.settings.single_key_shortcuts} onChange=${(/** @type {boolean} */ on) => send({ do: 'set_settings', single_key_shortcuts: on })} />
      <button type="button" class="btn" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'keys' } })}><${Icon} name="i-keyboard" small />${t('keys.show')}</button></section>`
}

/** @param {{view: View}} props */
function Network({ view }) {
  return html`<section class="box"><${Connection} view=${view} /></section>`
}

/** @param {{view: View}} props */
function Browsers({ view }) {
  return html`<section class="box"><p class="hint">${t('browsers.text')}</p><ul class="list" role="list">${view.sessions.map((session) => html`<li key=${session.id} class="line">
    <span class="grow"><b>${session.browser}</b><small>${session.current ? t('browsers.this') : t('browsers.used', { when: ago(session.last_used_ms, now()) })}</small></span>
    <button type="button" class="btn" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'revoke', id: session.id } })}>${t('browsers.revoke')}</button></li>`)}</ul></section>`
}

/** @param {{view: View}} props */
function About({ view }) {
  return html`<section class="box"><h3>${t('app.name')} ${view.version}</h3><p>${t('about.text')}</p><p class="hint">${t('about.licence')}</p></section>`
}
