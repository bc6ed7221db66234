// Somebody rings: the card that stands above everything until it is answered or over.

import { useLayoutEffect, useRef } from '../../vendor/hooks.mjs'
import { runningCall } from '../derive.js'
import { html } from '../html.js'
import { t } from '../i18n.js'
import { answer as answerCall } from '../pictures.js'
import { dispatch, send } from '../store.js'
import { Avatar, Icon } from './parts.js'

/** Short words for somebody who can't talk now. */
const REPLIES = ['reply.later', 'reply.minute', 'reply.write']

/** @param {{state: import('../state.js').State, call: import('../protocol.js').Call}} props */
export function Ring({ state, call }) {
  const answer = useRef(/** @type {HTMLButtonElement|null} */ (null))
  const running = runningCall(state)
  useLayoutEffect(() => {
    const typing = document.activeElement instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)
    if (!typing && !document.querySelector('dialog[open]')) answer.current?.focus()
  }, [])
  const peer = call.peer
  const video = call.media === 'video'
  const replying = state.replying === call.id
  const trust = !peer.known ? 'trust.stranger' : 'trust.' + peer.verified
  return html`<div class="ring" role="alertdialog" aria-modal="false" aria-labelledby="ring-name" aria-describedby="ring-kind">
    <div class="rg-bg" aria-hidden="true"></div>
    <div class="rg-h"><span class="rg-av"><${Avatar} peer=${peer.peer_id} name=${peer.name} echo=${peer.kind === 'echo'} size="huge" /></span>
      <div><p class="rg-k" id="ring-kind"><${Icon} name=${video ? 'i-video' : 'i-phone'} small />${t(video ? 'ring.video' : 'ring.voice')}</p><h2 id="ring-name">${peer.name}</h2>
        <p class=${'rg-s ' + (!peer.known || peer.verified === 'changed' ? 'odd' : peer.verified)}><${Icon} name=${peer.verified === 'verified' ? 'i-shield-check' : peer.known ? 'i-shield' : 'i-user-x'} small />${t(trust)}</p></div></div>
    ${replying ? html`<div class="rg-m">${REPLIES.map((key) => html`<button type="button" key=${key} class="btn wide" onClick=${() => send({ do: 'decline', call: call.id, message: t(key) })}>${t(key)}</button>`)}
        <button type="button" class="btn wide" onClick=${() => dispatch({ type: 'replying', call: null })}>${t('back')}</button></div>`
      : html`<div class=${'rg-a' + (video ? ' four' : '')}>
        <button type="button" class="rb no" aria-keyshortcuts="Alt+Shift+Backspace" onClick=${() => send({ do: 'decline', call: call.id })}><${Icon} name="i-phone-off" /><span>${t('ring.decline')}</span></button>
        <button type="button" class="rb msg" onClick=${() => dispatch({ type: 'replying', call: call.id })}><${Icon} name="i-message-square" /><span>${t('ring.message')}</span></button>
        ${video && html`<button type="button" class="rb voice" onClick=${() => void answerCall(call, 'voice')}><${Icon} name="i-phone" /><span>${t('ring.voice-only')}</span></button>`}
        <button type="button" ref=${answer} class="rb yes" aria-keyshortcuts="Alt+Shift+Enter" onClick=${() => void answerCall(call, call.media)}><${Icon} name=${video ? 'i-video' : 'i-phone'} /><span>${t(running ? 'ring.hold-answer' : 'ring.answer')}</span></button></div>`}</div>`
}
