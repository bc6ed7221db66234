// The first minute: a name, one's own voice, and a card to give away.

import { useState } from '../../vendor/hooks.mjs'
import { html } from '../html.js'
import { t } from '../i18n.js'
import { dispatch, send } from '../store.js'
import { DevicePicker } from './devices.js'
import { Icon } from './parts.js'
import { Card } from './settings.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 */

const STEPS = /** @type {const} */ (['name', 'sound', 'card'])

/** @param {{state: State, view: View}} props */
export function FirstRun({ state, view }) {
  const step = state.first ?? 'name'
  const at = STEPS.indexOf(step)
  return html`<main class="first"><div class="first-in"><span class="logo" aria-hidden="true"></span>
    <p class="steps" role="img" aria-label=${t('first.step', { n: at + 1, of: STEPS.length })}>${STEPS.map((each, n) => html`<i key=${each} class=${n <= at ? 'on' : ''}></i>`)}</p>
    ${step === 'name' && html`<${Name} view=${view} />`}
    ${step === 'sound' && html`<${Sound} view=${view} />`}
    ${step === 'card' && html`<${Share} view=${view} />`}</div></main>`
}

/** @param {{view: View}} props */
function Name({ view }) {
  const [name, setName] = useState(view.me.name)
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    // The next step begins with the daemon's answer: a name that did not arrive must not be passed over.
    send({ do: 'set_name', name })
  }
  return html`<form onSubmit=${submit}><h1>${t('first.hello')}</h1><p>${t('first.hello-text')}</p>
    <label for="first-name">${t('profile.name')}</label>
    <input id="first-name" class="field big" maxlength="60" autocomplete="name" autofocus value=${name} onInput=${(/** @type {any} */ event) => setName(event.currentTarget.value)} />
    <button class="btn prim wide" disabled=${name.trim() === ''}>${t('next')}</button></form>`
}

/** @param {{view: View}} props */
function Sound({ view }) {
  const echo = view.contacts.find((contact) => contact.kind === 'echo')
  return html`<div><h1>${t('first.sound')}</h1><p>${t('first.sound-text')}</p><${DevicePicker} devices=${view.devices} />
    ${echo && html`<button type="button" class="btn wide" onClick=${() => send({ do: 'dial', who: echo.peer_id, media: 'voice' })}><${Icon} name="i-audio-lines" small />${t('first.echo')}</button>`}
    <button type="button" class="btn prim wide" onClick=${() => dispatch({ type: 'first', step: 'card' })}>${t('next')}</button></div>`
}

/** @param {{view: View}} props */
function Share({ view }) {
  return html`<div><h1>${t('first.card')}</h1><p>${t('first.card-text')}</p><${Card} view=${view} />
    <button type="button" class="btn prim wide" onClick=${() => dispatch({ type: 'first', step: null })}>${t('first.done')}</button></div>`
}
