// Home: the rail of sections, the list, and beside it a conversation or a part of the settings.

import { contactOf, matches, missedCount, nearbyRows, peopleRows, cardIn, runningCall } from '../derive.js'
import { hrefOf, go } from '../go.js'
import { html } from '../html.js'
import { duration, shortWhen, t } from '../i18n.js'
import { dispatch, now, send } from '../store.js'
import { useEffect } from '../../vendor/hooks.mjs'
import { Conversation, Empty } from './conversation.js'
import { Avatar, Icon } from './parts.js'
import { Settings, SETTINGS } from './settings.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 */

/** @param {{state: State, view: View}} props */
export function Home({ state, view }) {
  const { page, peer, section } = state.route
  const detail = page === 'settings' ? section !== null : peer !== null
  const contact = contactOf(state, peer)
  return html`<div class=${'app' + (detail ? ' detail' : '')}>
    <a class="skip" href="#main" onClick=${skip}>${t('skip')}</a>
    <${Sections} state=${state} view=${view} />
    <main class="both"><h1 class="sr">${t('nav.' + page)}</h1>
    ${page === 'people' && html`<${People} state=${state} view=${view} />`}
    ${page === 'calls' && html`<${Calls} state=${state} view=${view} />`}
    ${page === 'settings' && html`<${SettingsList} state=${state} />`}
    <section id="main" class="main" tabindex="-1" aria-label=${contact?.name ?? t('details')}>
      ${page === 'settings' ? html`<${Settings} state=${state} view=${view} section=${section ?? 'profile'} />`
        : contact ? html`<${Conversation} state=${state} view=${view} contact=${contact} key=${contact.peer_id} />`
          : html`<${Empty} view=${view} />`}
    </section></main></div>`
}

/** A fragment is an address here, so the skip link moves the focus itself. @param {Event} event */
function skip(event) {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

/** The rail of wide windows and the tabs of narrow ones. @param {{state: State, view: View}} props */
function Sections({ state, view }) {
  const missed = missedCount(state)
  const item = (/** @type {'people'|'calls'|'settings'} */ page, /** @type {string} */ icon) => {
    const on = state.route.page === page
    const pip = page === 'calls' && missed > 0
    return html`<a class=${'rl' + (on ? ' on' : '')} href=${hrefOf({ page })} aria-current=${on ? 'page' : undefined}>
      <${Icon} name=${icon} /><span>${t('nav.' + page)}</span>${pip && html`<i class="pip"></i><span class="sr">${t('nav.missed', { n: missed })}</span>`}</a>`
  }
  return html`<nav class="rail" aria-label=${t('nav.sections')}>
    <span class="logo" aria-hidden="true"></span>
    ${item('people', 'i-users')}${item('calls', 'i-phone')}<span class="grow"></span>${item('settings', 'i-settings')}
    <button type="button" class="me" aria-label=${t('nav.me', { name: view.me.name })} onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'card' } })}>
      <${Avatar} peer=${view.me.peer_id} name=${view.me.name} online=${view.ready.state === 'ready'} /></button></nav>`
}

/** @param {{state: State, children?: any}} props */
function Side({ state, children }) {
  return html`<section class="side" aria-labelledby="side-title">${children}<${Footer} state=${state} /></section>`
}

/** Whether people can ring. @param {{state: State}} props */
function Footer({ state }) {
  const ready = state.view?.ready
  if (!ready) return null
  const word = state.link === 'open' ? ready.state : 'offline'
  return html`<p class="net"><span class=${'dotty ' + word}></span><span>${t('ready.' + word)}</span>
    <button type="button" class="lk" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'connection' } })}>${t('details')}</button></p>`
}

/** @param {{state: State, view: View}} props */
function People({ state, view }) {
  const rows = peopleRows(view, state.search)
  const nearby = nearbyRows(view, state.search)
  const card = cardIn(state.search)
  const add = () => dispatch({ type: 'dialog', dialog: { kind: 'add', card: card ?? '' } })
  return html`<${Side} state=${state}>
    <header class="sh"><h2 id="side-title">${t('nav.people')}</h2>
      <button type="button" class="icb" aria-label=${t('people.add')} title=${t('people.add')} onClick=${add}><${Icon} name="i-user-plus" /></button>
      <button type="button" class="cta" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'new-call' } })}><${Icon} name="i-plus" small />${t('people.new-call')}</button></header>
    <label class="search"><${Icon} name="i-search" small /><span class="sr">${t('people.search')}</span>
      <input id="search" type="search" placeholder=${t('people.search')} value=${state.search} autocomplete="off" spellcheck=${false}
        onInput=${(/** @type {any} */ event) => dispatch({ type: 'search', text: event.currentTarget.value })} /><kbd>Ctrl K</kbd></label>
    <div class="rows">
      ${card && html`<button type="button" class="row act-row" onClick=${add}><span class="av flat"><${Icon} name="i-user-plus" /></span><span class="rx"><span class="rn">${t('people.add-card')}</span></span></button>`}
      ${nearby.length > 0 && html`<h3 class="rows-h">${t('people.nearby')}</h3><ul role="list">${nearby.map((each) => html`<li class="row" key=${each.peer_id}>
        <${Avatar} peer=${each.peer_id} name=${each.name || '?'} online=${true} />
        <span class="rx"><span class="rn">${each.name || t('people.unnamed')}</span><span class="r2"><${Icon} name="i-wifi" small /><span class="rt">${t('people.on-network')}</span></span></span>
        <button type="button" class="icb" aria-label=${t('people.add-nearby', { name: each.name })} onClick=${() => send({ do: 'add_nearby', peer_id: each.peer_id })}><${Icon} name="i-user-plus" /></button>
        <button type="button" class="icb go" aria-label=${t('call.voice-to', { name: each.name })} onClick=${() => send({ do: 'dial', who: each.peer_id, media: 'voice' })}><${Icon} name="i-phone" /></button></li>`)}</ul>
        <h3 class="rows-h">${t('people.contacts')}</h3>`}
      <ul role="list">${rows.map((row) => html`<${PersonRow} row=${row} selected=${state.route.peer === row.contact.peer_id} key=${row.contact.peer_id} />`)}</ul>
      ${rows.length + nearby.length === 0 && !card && html`<p class="none">${t('people.none', { what: state.search })}</p>`}
      ${view.contacts.length <= 1 && state.search === '' && html`<div class="invite"><b>${t('people.empty')}</b><p>${t('people.empty-do')}</p>
        <button type="button" class="btn" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'card' } })}>${t('people.show-card')}</button></div>`}
    </div></${Side}>`
}

/** @param {{row: ReturnType<typeof peopleRows>[number], selected: boolean}} props */
function PersonRow({ row, selected }) {
  const { contact, last, missed } = row
  const icon = last ? iconOf(last) : null
  return html`<li><a class=${'row' + (selected ? ' sel' : '')} href=${hrefOf({ page: 'people', peer: contact.peer_id })} aria-current=${selected ? 'true' : undefined}>
    <${Avatar} peer=${contact.peer_id} name=${contact.name} online=${contact.presence === 'online'} echo=${contact.kind === 'echo'} />
    <span class="rx"><span class="r1"><span class="rn">${contact.name}</span>${last && html`<time class=${'num' + (missed ? ' un' : '')}>${shortWhen(last.at_ms, now())}</time>`}</span>
      <span class=${'r2' + (last?.outcome === 'missed' ? ' miss' : '')}>${icon && html`<${Icon} name=${icon} small />`}
        <span class="rt">${last ? lineOf(last) : contact.kind === 'echo' ? t('echo.line') : contact.nearby ? t('people.on-network') : t('presence.' + contact.presence)}</span>
        ${missed > 0 && html`<span class="bdg"><span aria-hidden="true">${missed}</span><span class="sr">${t('nav.missed', { n: missed })}</span></span>`}</span></span>
    <span class="sr">${t('presence.' + contact.presence)}</span></a></li>`
}

/** What happened and how long it took. @param {import('../protocol.js').Recent} event */
export function lineOf(event) {
  return event.outcome === 'answered' ? `${event.text}, ${duration(event.duration_ms)}` : event.text
}

/** @param {import('../protocol.js').Recent} event */
export function iconOf(event) {
  if (event.outcome === 'missed') return 'i-phone-missed'
  if (event.outcome !== 'answered') return 'i-phone-off'
  if (event.media === 'video') return 'i-video'
  return event.direction === 'outgoing' ? 'i-phone-outgoing' : 'i-phone-incoming'
}

/** @param {{state: State, view: View}} props */
function Calls({ state, view }) {
  const missed = missedCount(state)
  useEffect(() => {
    if (missed > 0) send({ do: 'mark_recent_seen' })
  }, [missed])
  const rows = view.recent.filter((each) => matches(each.name, state.search))
  const busy = runningCall(state) !== null
  return html`<${Side} state=${state}>
    <header class="sh"><h2 id="side-title">${t('nav.calls')}</h2>
      ${view.recent.length > 0 && html`<button type="button" class="icb" aria-label=${t('calls.clear')} title=${t('calls.clear')} onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'clear-recent' } })}><${Icon} name="i-trash-2" /></button>`}
      <button type="button" class="cta" onClick=${() => dispatch({ type: 'dialog', dialog: { kind: 'new-call' } })}><${Icon} name="i-plus" small />${t('people.new-call')}</button></header>
    <label class="search"><${Icon} name="i-search" small /><span class="sr">${t('calls.search')}</span>
      <input id="search" type="search" placeholder=${t('calls.search')} value=${state.search} onInput=${(/** @type {any} */ event) => dispatch({ type: 'search', text: event.currentTarget.value })} /><kbd>Ctrl K</kbd></label>
    <div class="rows"><ul role="list">${rows.map((each) => html`<li class="row-with" key=${each.call}>
      <a class=${'row' + (state.route.peer === each.peer_id ? ' sel' : '')} href=${hrefOf({ page: 'calls', peer: each.peer_id })}>
        <${Avatar} peer=${each.peer_id} name=${each.name} echo=${each.name === 'Echo' && view.contacts.some((c) => c.peer_id === each.peer_id && c.kind === 'echo')} />
        <span class="rx"><span class="r1"><span class="rn">${each.name}</span><time class="num">${shortWhen(each.at_ms, now())}</time></span>
          <span class=${'r2' + (each.outcome === 'missed' ? ' miss' : '')}><${Icon} name=${iconOf(each)} small /><span class="rt">${lineOf(each)}</span></span></span></a>
      <button type="button" class="icb" disabled=${busy} aria-label=${t('call.voice-to', { name: each.name })} onClick=${() => send({ do: 'dial', who: each.peer_id, media: 'voice' })}><${Icon} name="i-phone" /></button></li>`)}</ul>
      ${rows.length === 0 && html`<p class="none">${t(view.recent.length === 0 ? 'calls.none' : 'calls.no-match')}</p>`}</div></${Side}>`
}

/** @param {{state: State}} props */
function SettingsList({ state }) {
  return html`<${Side} state=${state}>
    <header class="sh"><h2 id="side-title">${t('nav.settings')}</h2></header><span></span>
    <div class="rows"><ul role="list">${SETTINGS.map(({ id, icon }) => {
      const on = (state.route.section ?? 'profile') === id
      return html`<li key=${id}><a class=${'row' + (on ? ' sel' : '')} href=${hrefOf({ page: 'settings', section: id })} aria-current=${on ? 'true' : undefined}>
        <span class="av flat"><${Icon} name=${icon} /></span><span class="rx"><span class="rn">${t('settings.' + id)}</span><span class="r2"><span class="rt">${t('settings.' + id + '.hint')}</span></span></span></a></li>`
    })}</ul></div></${Side}>`
}

/** The way back of narrow windows. @param {{page: 'people'|'calls'|'settings'}} props */
export function Back({ page }) {
  return html`<button type="button" class="icb back" aria-label=${t('back')} onClick=${() => go({ page })}><${Icon} name="i-chevron-left" /></button>`
}
