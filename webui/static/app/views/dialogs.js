// The windows above the page: one at a time, chosen by `state.dialog`.

import { useState } from '../../vendor/hooks.mjs'
import { cardIn, contactOf, matches } from '../derive.js'
import { html } from '../html.js'
import { t } from '../i18n.js'
import { dispatch, send } from '../store.js'
import { Avatar, Copy, Icon, Modal, Refusal } from './parts.js'
import { Card } from './settings.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 */

const close = () => dispatch({ type: 'dialog', dialog: null })

/** @param {{state: State, view: View}} props */
export function Dialogs({ state, view }) {
  const dialog = state.dialog
  if (dialog === null) return null
  const problem = state.problem?.problem
  const name = 'peer' in dialog ? contactOf(state, dialog.peer)?.name ?? '' : ''
  switch (dialog.kind) {
    case 'add': return html`<${Add} card=${dialog.card} problem=${problem} />`
    case 'new-call': return html`<${NewCall} view=${view} problem=${problem} />`
    case 'rename': return html`<${Rename} peer=${dialog.peer} name=${name} problem=${problem} />`
    case 'remove': return html`<${Sure} title=${t('remove.title', { name })} text=${t('remove.text')} yes=${t('panel.remove')} problem=${problem} act=${() => send({ do: 'remove_contact', peer_id: dialog.peer })} />`
    case 'clear-recent': return html`<${Sure} title=${t('clear.title')} text=${t('clear.text')} yes=${t('clear.yes')} problem=${problem} act=${() => send({ do: 'clear_recent' })} />`
    case 'revoke': return html`<${Sure} title=${t('revoke.title')} text=${t('revoke.text')} yes=${t('browsers.revoke')} problem=${problem} act=${() => send({ do: 'revoke_session', id: dialog.id })} />`
    case 'connection': return html`<${Modal} title=${t('net.title')} onClose=${close}><${Connection} view=${view} /></${Modal}>`
    case 'card': return html`<${Modal} title=${t('card.title')} onClose=${close}><${Card} view=${view} /></${Modal}>`
    case 'keys': return html`<${Keys} />`
  }
}

/** @param {{card: string, problem?: import('../protocol.js').Problem}} props */
function Add({ card, problem }) {
  const [text, setText] = useState(card)
  const found = cardIn(text)
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    send({ do: 'add_contact', card: found ?? text.trim() })
  }
  return html`<${Modal} title=${t('people.add')} onClose=${close}><form onSubmit=${submit}>
    <label for="card-text">${t('add.card')}</label>
    <textarea id="card-text" class="field mono" rows="4" spellcheck=${false} placeholder="ahoy:c/…" value=${text} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}></textarea>
    <p class="hint">${t('add.hint')}</p><${Refusal} problem=${problem} />
    <footer><button type="button" class="btn" onClick=${close}>${t('cancel')}</button><button class="btn prim" disabled=${text.trim() === ''}>${t('add.do')}</button></footer></form></${Modal}>`
}

/** @param {{view: View, problem?: import('../protocol.js').Problem}} props */
function NewCall({ view, problem }) {
  const [text, setText] = useState('')
  const known = [...view.contacts, ...view.nearby.filter((each) => !each.known)].filter((each) => matches(each.name, text))
  const dial = (/** @type {string} */ who, /** @type {'voice'|'video'} */ media) => send({ do: 'dial', who, media })
  const start = (/** @type {'voice'|'video'} */ media) => {
    const first = known[0]
    if (first && known.length === 1) dial(first.peer_id, media)
    else if (text.trim() !== '') dial(cardIn(text) ?? text.trim(), media)
  }
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    start('voice')
  }
  return html`<${Modal} title=${t('people.new-call')} onClose=${close}><form onSubmit=${submit}>
    <label for="who">${t('new.who')}</label>
    <div class="line who-line"><input id="who" class="field" autocomplete="off" spellcheck=${false} placeholder=${t('new.placeholder')} value=${text} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} />
      <button class="btn prim" disabled=${text.trim() === ''}><${Icon} name="i-phone" small /><span>${t('call.voice')}</span></button>
      <button type="button" class="btn" disabled=${text.trim() === ''} onClick=${() => start('video')}><${Icon} name="i-video" small /><span>${t('call.video-short')}</span></button></div>
    <${Refusal} problem=${problem} />
    <ul class="pick-list" role="list">${known.slice(0, 8).map((each) => html`<li key=${each.peer_id} class="row-line"><button type="button" class="row" onClick=${() => dial(each.peer_id, 'voice')}>
      <${Avatar} peer=${each.peer_id} name=${each.name || '?'} echo=${'kind' in each && each.kind === 'echo'} /><span class="rx"><span class="rn">${each.name || t('people.unnamed')}</span></span><${Icon} name="i-phone" /></button>
      ${!('kind' in each && each.kind === 'echo') && html`<button type="button" class="icb" aria-label=${t('call.video-to', { name: each.name || t('people.unnamed') })} onClick=${() => dial(each.peer_id, 'video')}><${Icon} name="i-video" /></button>`}</li>`)}</ul></form></${Modal}>`
}

/** @param {{peer: string, name: string, problem?: import('../protocol.js').Problem}} props */
function Rename({ peer, name, problem }) {
  const [text, setText] = useState(name)
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    send({ do: 'rename_contact', peer_id: peer, name: text.trim() })
  }
  return html`<${Modal} title=${t('panel.rename')} onClose=${close}><form onSubmit=${submit}><label for="new-name">${t('rename.label')}</label>
    <input id="new-name" class="field" maxlength="60" value=${text} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} /><${Refusal} problem=${problem} />
    <footer><button type="button" class="btn" onClick=${close}>${t('cancel')}</button><button class="btn prim" disabled=${text.trim() === ''}>${t('save')}</button></footer></form></${Modal}>`
}

/** @param {{title: string, text: string, yes: string, act: () => void, problem?: import('../protocol.js').Problem}} props */
function Sure({ title, text, yes, act, problem }) {
  return html`<${Modal} title=${title} onClose=${close}><p>${text}</p><${Refusal} problem=${problem} />
    <footer><button type="button" class="btn" onClick=${close}>${t('cancel')}</button><button type="button" class="btn danger" onClick=${act}>${yes}</button></footer></${Modal}>`
}

/** Where people reach this device. @param {{view: View}} props */
export function Connection({ view }) {
  const ready = view.ready
  return html`<dl class="facts"><dt>${t('net.state')}</dt><dd>${ready.text}</dd>
    <dt>${t('net.nearby')}</dt><dd>${t(ready.mdns ? 'net.nearby-on' : 'net.nearby-off')}</dd>
    <dt>${t('net.ports')}</dt><dd class="num">${ready.media_ports.join(', ') || t('net.no-ports')}</dd>
    ${(ready.facts ?? []).map((fact) => html`<dt key=${fact.code}>${fact.title}</dt><dd>${fact.text}${fact.do && html` <small>${fact.do}</small>`}</dd>`)}
    <dt>${t('net.listening')}</dt><dd><ul class="mono" role="list">${ready.listening.map((address) => html`<li key=${address}>${address}</li>`)}</ul></dd>
    ${ready.last_error && html`<dt>${t('net.error')}</dt><dd>${ready.last_error}</dd>`}</dl>
    <${Copy} text=${ready.listening.map((address) => `${address}/p2p/${view.me.peer_id}`).join('\n')} label=${t('net.copy')}>${t('net.copy')}</${Copy}>`
}

function Keys() {
  const keys = [['M', 'keys.mute'], [t('keys.space'), 'keys.talk'], ['V', 'keys.camera'], ['S', 'keys.share'], ['L', 'keys.layout'], ['F', 'keys.full'], ['Ctrl K', 'keys.search'], ['Alt Shift A', 'keys.call'], ['Alt Shift V', 'keys.video'],
    ['Alt Shift Enter', 'keys.answer'], ['Alt Shift ⌫', 'keys.decline'], ['F6', 'keys.card'], ['?', 'keys.help']]
  return html`<${Modal} title=${t('keys.show')} onClose=${close}><dl class="keys">${keys.map(([key, what]) => html`<div key=${what}><dt><kbd>${key}</kbd></dt><dd>${t(String(what))}</dd></div>`)}</dl></${Modal}>`
}
