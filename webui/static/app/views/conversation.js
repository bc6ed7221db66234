// One person: who they are, the calls with them, and the button that rings.

import { eventsWith, runningCall, shortName } from '../derive.js'
import { html } from '../html.js'
import { day, daysBetween, duration, fullDate, t, time } from '../i18n.js'
import { dialVideo } from '../pictures.js'
import { dispatch, now, send } from '../store.js'
import { Back, iconOf } from './home.js'
import { Avatar, Icon, Copy, Switch } from './parts.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 * @typedef {import('../protocol.js').Contact} Contact
 */

/** @param {{state: State, view: View, contact: Contact}} props */
export function Conversation({ state, view, contact }) {
  const busy = runningCall(state) !== null
  const echo = contact.kind === 'echo'
  const dial = () => send({ do: 'dial', who: contact.peer_id, media: 'voice' })
  return html`<div class=${'conv' + (state.panel ? ' with-panel' : '')}>
    <header class="ch"><${Back} page=${state.route.page} />
      <${Avatar} peer=${contact.peer_id} name=${contact.name} online=${contact.presence === 'online'} echo=${echo} />
      <div class="chx"><h2>${contact.name}</h2><p>${echo ? t('echo.line') : html`<${Trust} contact=${contact} /><span class="dot"></span><span class="there">${t(contact.nearby ? 'people.on-network' : 'presence.' + contact.presence)}</span>`}</p></div>
      <div class="acts">
        <button type="button" class=${'act' + (echo ? ' prim' : '')} disabled=${busy || contact.verified === 'changed'} onClick=${dial} aria-keyshortcuts="Alt+Shift+A"
          aria-label=${t('call.voice-to', { name: contact.name })} title=${t('call.voice-to', { name: contact.name })}><${Icon} name="i-phone" />${echo && html`<span>${t('call.voice')}</span>`}</button>
        ${!echo && html`<button type="button" class="act prim" disabled=${busy || contact.verified === 'changed'} onClick=${() => dialVideo(contact.peer_id)} aria-keyshortcuts="Alt+Shift+V"
          aria-label=${t('call.video-to', { name: contact.name })}><${Icon} name="i-video" /><span>${t('call.video')}</span></button>`}
        ${!echo && html`<button type="button" class="icb" aria-label=${t('panel.open')} title=${t('panel.open')} aria-expanded=${state.panel} onClick=${() => dispatch({ type: 'panel', on: !state.panel })}><${Icon} name="i-panel-right" /></button>`}
      </div></header>
    <${Log} view=${view} contact=${contact} />
    ${state.panel && !echo && html`<${Panel} contact=${contact} />`}</div>`
}

/** Whether somebody's identity was checked. @param {{contact: Contact}} props */
function Trust({ contact }) {
  const icon = contact.verified === 'verified' ? 'i-shield-check' : contact.verified === 'changed' ? 'i-shield-alert' : 'i-shield'
  return html`<span class=${'trust ' + contact.verified}><${Icon} name=${icon} small /><span>${t('trust.' + contact.verified)}</span></span>`
}

/** @param {{view: View, contact: Contact}} props */
function Log({ view, contact }) {
  const events = eventsWith(view, contact.peer_id)
  /** @type {any[]} */
  const items = []
  let last = null
  for (const event of events) {
    if (last === null || daysBetween(last.at_ms, event.at_ms) !== 0) items.push(html`<p class="day" key=${'day' + event.call}><span>${day(event.at_ms, now())}</span></p>`)
    last = event
    items.push(html`<div class=${'ev' + (event.outcome === 'missed' ? ' miss' : '')} key=${event.call}><${Icon} name=${iconOf(event)} small />
      <span><b>${event.text}</b> ${event.outcome === 'answered' ? duration(event.duration_ms) : ''}</span><time class="num" title=${fullDate(event.at_ms)}>${time(event.at_ms)}</time></div>`)
    if (event.message) items.push(html`<div class="said" key=${'said' + event.call}>“${event.message}”</div>`)
  }
  return html`<div class="log" role="log" aria-label=${t('log.with', { name: contact.name })} tabindex="0">
    <div class="about"><${Avatar} peer=${contact.peer_id} name=${contact.name} echo=${contact.kind === 'echo'} size="huge" />
      <h3>${contact.name}</h3><p>${contact.kind === 'echo' ? t('echo.text') : contact.verified === 'changed' ? t('trust.changed-text', { name: shortName(contact.name) }) : t(contact.hide_address ? 'log.hidden' : 'log.private', { name: shortName(contact.name) })}</p></div>
    ${items}</div>`
}

/** What is known of somebody, and what can be changed. @param {{contact: Contact}} props */
function Panel({ contact }) {
  const verified = contact.verified === 'verified'
  return html`<aside class="panel" aria-label=${t('panel.title')}>
    <section><h3>${t('panel.number')}</h3><p class="digits num">${contact.safety_number}</p>
      <p class="hint">${t('panel.number-text', { name: shortName(contact.name) })}</p>
      <button type="button" class=${'btn' + (verified ? '' : ' prim')} onClick=${() => send({ do: 'verify_contact', peer_id: contact.peer_id, verified: !verified })}>
        <${Icon} name=${verified ? 'i-shield' : 'i-shield-check'} small />${t(verified ? 'panel.unverify' : 'panel.verify')}</button></section>
    <section><${Switch} label=${t('panel.hide')} hint=${t('panel.hide-hint', { name: shortName(contact.name) })} on=${contact.hide_address === true}
      onChange=${(/** @type {boolean} */ on) => send({ do: 'hide_address', peer_id: contact.peer_id, on })} /></section>
    <section><h3>${t('panel.device')}</h3><p class="mono">${contact.peer_id}</p><${Copy} text=${contact.peer_id} label=${t('panel.copy-id')} /></section>
    <section class="stack"><button type="button" class="btn" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'rename', peer: contact.peer_id } })}><${Icon} name="i-pencil" small />${t('panel.rename')}</button>
      <button type="button" class="btn danger" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'remove', peer: contact.peer_id } })}><${Icon} name="i-trash-2" small />${t('panel.remove')}</button></section></aside>`
}

/** Nobody is chosen. @param {{view: View}} props */
export function Empty({ view }) {
  const echo = view.contacts.find((contact) => contact.kind === 'echo')
  return html`<div class="center soft"><span class="logo" aria-hidden="true"></span><h2>${t('empty.title')}</h2><p>${t('empty.text')}</p>
    <div class="acts">${echo && html`<button type="button" class="btn" onClick=${() => send({ do: 'dial', who: echo.peer_id, media: 'voice' })}><${Icon} name="i-audio-lines" small />${t('empty.echo')}</button>`}
      <button type="button" class="btn" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'card' } })}><${Icon} name="i-qr-code" small />${t('people.show-card')}</button></div></div>`
}
