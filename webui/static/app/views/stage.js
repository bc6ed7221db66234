// A call on the screen: who, how long, how well, and the controls.

import { useEffect, useRef } from '../../vendor/hooks.mjs'
import { hue, meter } from '../derive.js'
import { html } from '../html.js'
import { millis, t } from '../i18n.js'
import { toggleFullScreen } from '../keys.js'
import { arrange, columns } from '../layout.js'
import { cannot } from '../media/tiles.js'
import { dispatch, levels, now, send } from '../store.js'
import { LAYOUT_ICONS, LayoutMenu, toggleRecording } from './call-menus.js'
import { Controls } from './controls.js'
import { silent } from './devices.js'
import { EchoTest } from './echo-test.js'
import { Avatar, Clock, Icon, Reconnecting, Signal } from './parts.js'
import { canPopOut, out, popOut } from './popout.js'
import { Person, Self, Share, ShareTile, SharingBar, Weak } from './tile.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 * @typedef {import('../protocol.js').Call} Call
 * @typedef {import('../layout.js').Spot} Spot
 */

/** @param {{state: State, view: View, call: Call}} props */
export function Stage({ state, view, call }) {
  const title = useRef(/** @type {HTMLElement|null} */ (null))
  useEffect(() => title.current?.focus(), [])
  const others = view.calls.filter((each) => each.id !== call.id && !['ended', 'ringing_in'].includes(each.state))
  const over = call.state === 'ended' || call.state === 'interrupted'
  const placed = arrange(call, view.me.peer_id, state.layout)
  const closeMenu = () => dispatch({ type: 'popover', popover: null })
  return html`<div class="stage-page" data-state=${call.state} data-mode=${over ? 'voice' : placed.mode}>
    <a class="skip" href="#controls" onClick=${(/** @type {Event} */ event) => {
      event.preventDefault()
      const first = document.querySelector('#controls button')
      if (first instanceof HTMLElement) first.focus()
    }}>${t('stage.skip')}</a>
    <header class="top"><div class="tl">
      <button type="button" class="glass round" aria-label=${t('stage.back')} title=${t('stage.back')} onClick=${() => dispatch(call.state === 'ended' ? { type: 'stage', call: null } : { type: 'minimise', on: true })}><${Icon} name="i-chevron-left" /></button>
      <div class="ttl"><h1 ref=${title} tabindex="-1">${call.peer.name}</h1><p>${statusLine(call)}</p></div></div>
      <div class="tr"><${Light} view=${view} call=${call} />
        ${call.tracks.length > 0 && !over && html`<span class="menu-of"><button type="button" class="glass only-w" data-opens="layout" aria-haspopup="dialog" aria-expanded=${state.popover === 'layout'} aria-keyshortcuts="l"
            onClick=${() => dispatch({ type: 'popover', popover: state.popover === 'layout' ? null : 'layout' })}><${Icon} name=${LAYOUT_ICONS[state.layout]} /><span>${t('layout.' + state.layout)}</span><${Icon} name="i-chevron-down" small /></button>
          ${state.popover === 'layout' && html`<${LayoutMenu} state=${state} call=${call} onClose=${closeMenu} />`}</span>`}
        ${canPopOut() && !over && html`<button type="button" class="glass round" aria-label=${t('stage.pop-out')} title=${t('stage.pop-out')} aria-pressed=${out.value} onClick=${() => void popOut()}><${Icon} name="i-picture-in-picture-2" /></button>`}
        <button type="button" class="glass round hide-m" aria-label=${t('stage.full')} title=${t('stage.full') + ' (F)'} aria-keyshortcuts="f" onClick=${toggleFullScreen}><${Icon} name="i-maximize-2" /></button></div></header>
    <section class="bars" aria-label=${t('stage.notices')}>${others.map((other) => html`<div class="other" key=${other.id}><${Icon} name="i-pause" small /><span>${t('stage.other', { name: other.peer.name })}</span>
      <button type="button" class="glass" onClick=${() => { send({ do: 'hold', call: call.id, on: true }); send({ do: 'hold', call: other.id, on: false }); dispatch({ type: 'stage', call: other.id }) }}>${t('stage.switch')}</button></div>`)}
      ${!over && html`<${RecordingBar} call=${call} /><${SharingBar} view=${view} call=${call} />`}</section>
    <main class="stage" aria-label=${t('stage.call')}>${over ? html`<div class="floor"><${Voice} call=${call} /></div>` : html`<${Floor} state=${state} view=${view} call=${call} placed=${placed} />`}
      <p class="caption">${warning(view, call)}</p></main>
    ${call.state === 'ended' ? html`<${Over} call=${call} />` : call.state === 'interrupted' ? html`<${Interrupted} call=${call} />`
      : html`<${Controls} state=${state} view=${view} call=${call} />`}</div>`
}

/** The tiles. @param {{state: State, view: View, call: Call, placed: import('../layout.js').Arrangement}} props */
function Floor({ state, view, call, placed }) {
  const { mode, main, rest, self } = placed
  const small = (/** @type {Spot} */ spot) => html`<li key=${spot.id}>${spot.track === 'screen' ? html`<${ShareTile} call=${call} spot=${spot} />` : html`<${Person} view=${view} call=${call} spot=${spot} large=${mode === 'grid'} />`}</li>`
  if (mode === 'grid') return html`<ul class="floor tiles" role="list" style=${{ '--columns': columns(rest.length) }}>${rest.map(small)}</ul>`
  if (mode === 'presenter' && main) {
    return html`<div class="floor presents"><${Share} key=${main.id} call=${call} spot=${main} /><ul class="strip" role="list" aria-label=${t('stage.people')}>${rest.map(small)}</ul></div>`
  }
  return html`<div class=${'floor' + (rest.length > 0 ? ' presents' : '')}>
    ${mode === 'voice' || !main ? html`<${Voice} call=${call} />` : html`<div class="main-tile"><${Person} key=${main.id} view=${view} call=${call} spot=${main} large=${true} />${main.mine && html`<${Ringing} call=${call} />`}</div>`}
    ${rest.length > 0 && html`<ul class="strip" role="list" aria-label=${t('stage.people')}>${rest.map(small)}</ul>`}
    ${self && html`<${Self} view=${view} call=${call} spot=${self} corner=${state.corner} />`}</div>`
}

/** Over the own picture, while the other's device rings. @param {{call: Call}} props */
function Ringing({ call }) {
  return html`<div class="who over-own" style=${{ '--h': hue(call.peer.peer_id) }}><${Avatar} peer=${call.peer.peer_id} name=${call.peer.name} size="huge" /><p class="big-name">${call.peer.name}</p><p class="phase" role="status">${phaseWords(call)}</p></div>`
}

/** A light for as long as this computer or this page shows something. @param {{view: View, call: Call}} props */
function Light({ view, call }) {
  const mine = call.tracks.filter((each) => each.peer_id === view.me.peer_id).map((each) => each.track)
  if (mine.length === 0) return null
  const words = mine.length === 2 ? 'light.both' : 'light.' + mine[0]
  return html`<span class="light" role="status"><i aria-hidden="true"></i><span>${t(words)}</span></span>`
}

/** Who records, for as long as somebody does. @param {{call: Call}} props */
function RecordingBar({ call }) {
  const { own, file, theirs } = call.recording
  if (own === 'off' && !theirs) return null
  const words = own === 'asked' ? 'rec.asked' : own === 'on' && theirs ? 'rec.both' : own === 'on' ? 'rec.own' : 'rec.theirs'
  return html`<div class="other rec"><${Icon} name="i-disc" small /><span title=${file ?? ''}>${t(words, { name: call.peer.name })}</span>
    ${own !== 'off' && html`<button type="button" class="glass" onClick=${() => toggleRecording(call)}>${t('rec.stop')}</button>`}</div>`
}

/** @param {Call} call */
function statusLine(call) {
  const parts = []
  if (call.active_since_ms !== null && call.state !== 'ended') parts.push(html`<${Clock} since=${call.active_since_ms} />`)
  else parts.push(html`<span>${t('phase.' + call.state)}</span>`)
  if (call.security) {
    const icon = call.peer.verified === 'verified' ? 'i-shield-check' : 'i-shield'
    parts.push(html`<button type="button" class="lock" data-opens="security" aria-haspopup="dialog" onClick=${() => dispatch({ type: 'popover', popover: 'security' })}><${Icon} name=${icon} small /><span>${t(call.peer.kind === 'echo' ? 'trust.echo' : 'trust.' + call.peer.verified)}</span></button>`)
  }
  if (call.path) {
    const word = call.quality?.word ?? 'good'
    parts.push(html`<button type="button" class=${'lock only-w signal ' + word} data-opens="stats" aria-haspopup="dialog" title=${call.quality?.text ?? ''} onClick=${() => dispatch({ type: 'popover', popover: 'stats' })}>
      <${Signal} word=${word} />${pathWords(call)}${call.quality && html`<span class="sr">, ${call.quality.text}</span>`}</button>`)
  }
  return parts.flatMap((part, n) => (n === 0 ? [part] : [html`<span class=${n === 2 ? 'dot only-w' : 'dot'}></span>`, part]))
}

/** @param {Call} call */
function pathWords(call) {
  if (!call.path) return ''
  const kind = t('path.' + call.path.kind)
  return call.path.rtt_ms === null ? kind : `${kind} · ${millis(Math.max(1, Math.round(call.path.rtt_ms)))}`
}

/** The other person without a picture: a letter, a ring while they speak, and what is going on. @param {{call: Call}} props */
function Voice({ call }) {
  const { loud_at, levels: now_levels } = levels.value
  const live = call.state === 'active' && !call.hold.local && !call.hold.remote
  const speaking = live && loud_at[call.peer.peer_id] !== undefined
  const loud = live ? meter(now_levels?.peers[call.peer.peer_id]) : 0
  const test = call.echo_test
  return html`<div class=${'tile' + (speaking ? ' speaking' : '') + (call.state === 'reconnecting' ? ' dim' : '') + (test ? ' tested' : '')} style=${{ '--h': hue(call.peer.peer_id), '--loud': loud }}>
    <${Weak} call=${call} frozen=${false} live=${live} />
    <div class="who"><span class="halo" aria-hidden="true"></span><${Avatar} peer=${call.peer.peer_id} name=${call.peer.name} echo=${call.peer.kind === 'echo'} size=${test ? 'large' : 'giant'} />
      <p class="big-name">${call.peer.name}${speaking && html`<span class="eq" aria-hidden="true"><i></i><i></i><i></i></span>`}</p><p class="phase" role="status">${phaseWords(call)}</p>${test && html`<${EchoTest} test=${test} />`}</div></div>`
}

/** @param {Call} call */
function phaseWords(call) {
  if (call.state === 'reconnecting') return html`<${Reconnecting} since=${call.reconnecting_since_ms} />`
  if (call.state === 'ended') return ''
  if (call.hold.local) return t('hold.local')
  if (call.hold.remote) return t('hold.remote', { name: call.peer.name })
  if (call.state === 'active') return call.peer.kind === 'echo' ? t('echo.talk') : ''
  return t('phase.' + call.state)
}

/** The one thing worth saying about sound and picture. @param {View} view @param {Call} call */
function warning(view, call) {
  if (call.state === 'ended' || call.state === 'interrupted') return ''
  const { microphone, speaker, camera, screen } = view.devices
  if (microphone.state !== 'ok' && microphone.message) return html`<b>${t('devices.microphone')}</b> ${microphone.message}`
  if (speaker.state !== 'ok' && speaker.message) return html`<b>${t('devices.speaker')}</b> ${speaker.message}`
  if (call.muted && levels.value.levels?.speaking_while_muted) return html`<b>${t('muted.talking')}</b> ${t('muted.press')} <kbd>M</kbd>`
  if (!call.muted && call.state === 'active' && !call.hold.local && silent()) return html`<b>${t('devices.silent')}</b>`
  if (camera.state !== 'ok' && camera.message && call.media === 'video') return html`<b>${t('devices.camera')}</b> ${camera.message}`
  if (screen.state !== 'ok' && screen.message) return html`<b>${t('devices.screen')}</b> ${screen.message}`
  if (cannot.value.decode && call.tracks.some((each) => each.peer_id !== view.me.peer_id)) return html`<b>${t('cannot.decode')}</b> ${t('cannot.decode-do')}`
  return ''
}

/** How it ended, and what can be done. @param {{call: Call}} props */
function Over({ call }) {
  const ended = call.ended
  const close = () => {
    send({ do: 'dismiss', call: call.id })
    dispatch({ type: 'stage', call: null })
  }
  return html`<footer class="bar over" id="controls"><div class="outcome" role="status"><b>${ended?.text}</b>${ended?.message && html`<q>${ended.message}</q>`}</div>
    <div class="dock"><button type="button" class="ctl wide-ctl" onClick=${close}><span>${t('close')}</span></button>
      ${ended?.can_retry && html`<button type="button" class="ctl wide-ctl go" onClick=${() => { send({ do: 'dismiss', call: call.id }); send({ do: 'dial', who: call.peer.peer_id, media: call.media }) }}><${Icon} name=${call.media === 'video' ? 'i-video' : 'i-phone'} /><span>${t('stage.again')}</span></button>`}</div></footer>`
}

/** The daemon stopped in the middle of this call. @param {{call: Call}} props */
function Interrupted({ call }) {
  return html`<footer class="bar over" id="controls"><div class="outcome" role="status"><b>${t('interrupted.text')}</b></div>
    <div class="dock"><button type="button" class="ctl wide-ctl" onClick=${() => send({ do: 'hang_up', call: call.id })}><span>${t('interrupted.end')}</span></button>
      <button type="button" class="ctl wide-ctl go" onClick=${() => send({ do: 'rejoin', call: call.id })}><${Icon} name="i-phone" /><span>${t('interrupted.rejoin')}</span></button></div></footer>`
}

/** A call that goes on while the person looks at something else. @param {{call: Call}} props */
export function MiniBar({ call }) {
  return html`<section class="mini" aria-label=${t('stage.call')}><button type="button" class="mini-back" onClick=${() => dispatch({ type: 'minimise', on: false })}>
      <${Avatar} peer=${call.peer.peer_id} name=${call.peer.name} echo=${call.peer.kind === 'echo'} /><b>${call.peer.name}</b>${call.active_since_ms !== null ? html`<${Clock} since=${call.active_since_ms} />` : html`<span>${t('phase.' + call.state)}</span>`}<span class="mini-go">${t('mini.back')}</span></button>
    ${call.state !== 'ended' && html`<button type="button" class=${'ctl' + (call.muted ? ' off' : '')} aria-pressed=${call.muted} aria-label=${t('mute')} onClick=${() => send({ do: 'mute', call: call.id, on: !call.muted })}><${Icon} name=${call.muted ? 'i-mic-off' : 'i-mic'} /></button>
      <button type="button" class="ctl leave" aria-label=${t('stage.leave-call')} onClick=${() => send({ do: 'hang_up', call: call.id })}><${Icon} name="i-phone-off" /></button>`}</section>`
}
