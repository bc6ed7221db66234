// A call on the screen: who, how long, how well, and the controls.

import { useEffect, useRef, useState } from '../../vendor/hooks.mjs'
import { hue, meter } from '../derive.js'
import { html } from '../html.js'
import { millis, number, t, time } from '../i18n.js'
import { toggleFullScreen } from '../keys.js'
import { dispatch, levels, now, send } from '../store.js'
import { DevicePicker, silent } from './devices.js'
import { Avatar, Clock, Icon, Popover, Seconds } from './parts.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 * @typedef {import('../protocol.js').Call} Call
 */

/** @param {{state: State, view: View, call: Call}} props */
export function Stage({ state, view, call }) {
  const title = useRef(/** @type {HTMLElement|null} */ (null))
  useEffect(() => title.current?.focus(), [])
  const others = view.calls.filter((each) => each.id !== call.id && !['ended', 'ringing_in'].includes(each.state))
  return html`<div class="stage-page" data-state=${call.state}>
    <a class="skip" href="#controls" onClick=${(/** @type {Event} */ event) => {
      event.preventDefault()
      const first = document.querySelector('#controls button')
      if (first instanceof HTMLElement) first.focus()
    }}>${t('stage.skip')}</a>
    <header class="top"><div class="tl">
      <button type="button" class="glass round" aria-label=${t('stage.back')} onClick=${() => dispatch(call.state === 'ended' ? { type: 'stage', call: null } : { type: 'minimise', on: true })}><${Icon} name="i-chevron-left" /></button>
      <div class="ttl"><h1 ref=${title} tabindex="-1">${call.peer.name}</h1><p>${statusLine(call)}</p></div></div>
      <div class="tr"><button type="button" class="glass round hide-m" aria-label=${t('stage.full')} aria-keyshortcuts="f" onClick=${toggleFullScreen}><${Icon} name="i-maximize-2" /></button></div></header>
    ${others.map((other) => html`<div class="other" key=${other.id}><${Icon} name="i-pause" small /><span>${t('stage.other', { name: other.peer.name })}</span>
      <button type="button" class="glass" onClick=${() => { send({ do: 'hold', call: call.id, on: true }); send({ do: 'hold', call: other.id, on: false }); dispatch({ type: 'stage', call: other.id }) }}>${t('stage.switch')}</button></div>`)}
    <main class="stage" aria-label=${t('stage.call')}><div class="floor"><${Tile} call=${call} />
      ${call.state !== 'ended' && html`<${Self} view=${view} call=${call} />`}</div>
      <p class="caption">${warning(view, call)}</p></main>
    ${call.state === 'ended' ? html`<${Over} call=${call} />` : call.state === 'interrupted' ? html`<${Interrupted} call=${call} />`
      : html`<${Controls} state=${state} view=${view} call=${call} />`}</div>`
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
  if (call.path) parts.push(html`<button type="button" class="lock only-w" data-opens="stats" aria-haspopup="dialog" onClick=${() => dispatch({ type: 'popover', popover: 'stats' })}>${pathWords(call)}</button>`)
  return parts.flatMap((part, n) => (n === 0 ? [part] : [html`<span class=${n === 2 ? 'dot only-w' : 'dot'}></span>`, part]))
}

/** @param {Call} call */
function pathWords(call) {
  if (!call.path) return ''
  const kind = t('path.' + call.path.kind)
  return call.path.rtt_ms === null ? kind : `${kind} · ${millis(call.path.rtt_ms)}`
}

/** The other person: a picture, a ring while they speak, and what is going on. @param {{call: Call}} props */
function Tile({ call }) {
  const { loud_at, levels: now_levels } = levels.value
  const live = call.state === 'active' && !call.hold.local && !call.hold.remote
  const speaking = live && loud_at[call.peer.peer_id] !== undefined
  const loud = live ? meter(now_levels?.peers[call.peer.peer_id]) : 0
  const weak = live && call.quality !== null && call.quality.word !== 'good'
  return html`<div class=${'tile' + (speaking ? ' speaking' : '') + (call.state === 'reconnecting' ? ' dim' : '')} style=${{ '--h': hue(call.peer.peer_id), '--loud': loud }}>
    ${weak && call.quality && html`<span class=${'weak ' + call.quality.word}><${Icon} name="i-signal" small /><span>${call.quality.text}</span></span>`}
    <div class="who"><span class="halo" aria-hidden="true"></span><${Avatar} peer=${call.peer.peer_id} name=${call.peer.name} echo=${call.peer.kind === 'echo'} size="giant" />
      <p class="big-name">${call.peer.name}${speaking && html`<span class="eq" aria-hidden="true"><i></i><i></i><i></i></span>`}</p><p class="phase" role="status">${phaseWords(call)}</p></div></div>`
}

/** @param {Call} call */
function phaseWords(call) {
  if (call.state === 'reconnecting') return html`${t('phase.reconnecting')} ${call.reconnecting_since_ms !== null && html`<${Seconds} since=${call.reconnecting_since_ms} />`}`
  if (call.state === 'ended') return ''
  if (call.hold.local) return t('hold.local')
  if (call.hold.remote) return t('hold.remote', { name: call.peer.name })
  if (call.state === 'active') return call.peer.kind === 'echo' ? t('echo.talk') : ''
  return t('phase.' + call.state)
}

/** This person: their microphone, moving while it hears them. @param {{view: View, call: Call}} props */
function Self({ view, call }) {
  const loud = call.muted ? 0 : meter(levels.value.levels?.microphone)
  return html`<aside class="self" aria-label=${t('you')}><div class="tile" style=${{ '--h': hue(view.me.peer_id), '--loud': loud }}>
    <span class="halo" aria-hidden="true"></span><${Avatar} peer=${view.me.peer_id} name=${view.me.name} size="large" />
    <span class="tag">${call.muted && html`<${Icon} name="i-mic-off" small />`}<span class="nm">${t('you')}</span></span></div></aside>`
}

/** The one thing worth saying about the sound. @param {View} view @param {Call} call */
function warning(view, call) {
  if (call.state === 'ended' || call.state === 'interrupted') return ''
  const mic = view.devices.microphone
  const speaker = view.devices.speaker
  if (mic.state !== 'ok' && mic.message) return html`<b>${t('devices.microphone')}</b> ${mic.message}`
  if (speaker.state !== 'ok' && speaker.message) return html`<b>${t('devices.speaker')}</b> ${speaker.message}`
  if (call.muted && levels.value.levels?.speaking_while_muted) return html`<b>${t('muted.talking')}</b> ${t('muted.press')} <kbd>M</kbd>`
  if (!call.muted && call.state === 'active' && !call.hold.local && silent()) return html`<b>${t('devices.silent')}</b>`
  return ''
}

/** @param {{state: State, view: View, call: Call}} props */
function Controls({ state, view, call }) {
  const open = (/** @type {import('../state.js').Popover} */ popover) => () => dispatch({ type: 'popover', popover: state.popover === popover ? null : popover })
  const close = () => dispatch({ type: 'popover', popover: null })
  const talking = call.state === 'active' || call.state === 'reconnecting'
  const waiting = call.state === 'calling' || call.state === 'ringing_out'
  return html`<footer class="bar" id="controls">
    <div class="bl"><span class="num clock">${time(now())}</span><span class="bar-sep"></span><span class="bt">${call.peer.name}</span></div>
    <${Dock} label=${t('stage.controls')}>
      <div class=${'split' + (call.muted ? ' off' : '')}><button type="button" class="ctl" aria-pressed=${call.muted} aria-label=${t('mute')} title=${t('mute') + ' (M)'} aria-keyshortcuts="m"
          onClick=${() => send({ do: 'mute', call: call.id, on: !call.muted })}><${Icon} name=${call.muted ? 'i-mic-off' : 'i-mic'} /></button>
        <button type="button" class="caret" data-opens="devices" aria-label=${t('devices.menu')} aria-haspopup="dialog" aria-expanded=${state.popover === 'devices'} onClick=${open('devices')}><${Icon} name="i-chevron-up" /></button></div>
      ${talking && html`<button type="button" class=${'ctl' + (call.hold.local ? ' on' : '')} aria-pressed=${call.hold.local} aria-label=${t('hold')} title=${t('hold')} onClick=${() => send({ do: 'hold', call: call.id, on: !call.hold.local })}><${Icon} name=${call.hold.local ? 'i-play' : 'i-pause'} /></button>`}
      ${call.security && html`<button type="button" class="ctl only-m" data-opens="security" aria-label=${t('security.title')} aria-haspopup="dialog" onClick=${open('security')}><${Icon} name="i-shield-check" /></button>`}
      <button type="button" class="ctl leave" aria-label=${t(waiting ? 'stage.cancel' : 'stage.leave-call')} onClick=${() => send({ do: 'hang_up', call: call.id })}><${Icon} name="i-phone-off" /><span>${t(waiting ? 'cancel' : 'stage.leave')}</span></button></${Dock}>
    <div class="brr">${call.security && html`<button type="button" class="ctl ghost" data-opens="security" aria-label=${t('security.title')} aria-haspopup="dialog" onClick=${open('security')}><${Icon} name="i-shield-check" /></button>`}
      ${talking && html`<button type="button" class="ctl ghost" data-opens="stats" aria-label=${t('stats.title')} aria-haspopup="dialog" onClick=${open('stats')}><${Icon} name="i-activity" /></button>`}</div>
    ${state.popover === 'devices' && html`<${Popover} label=${t('devices.menu')} onClose=${close}><${DevicePicker} devices=${view.devices} inCall=${true} /></${Popover}>`}
    ${state.popover === 'security' && call.security && html`<${Security} call=${call} onClose=${close} />`}
    ${state.popover === 'stats' && html`<${Stats} call=${call} onClose=${close} />`}</footer>`
}

/** A toolbar: one stop of the Tab key, arrows inside. @param {{label: string, children?: any}} props */
function Dock({ label, children }) {
  const box = useRef(/** @type {HTMLElement|null} */ (null))
  const [at, setAt] = useState(0)
  const buttons = () => [...box.current?.querySelectorAll('button') ?? []].filter((button) => button.offsetParent !== null)
  useEffect(() => buttons().forEach((button, n) => { button.tabIndex = n === Math.min(at, buttons().length - 1) ? 0 : -1 }))
  const move = (/** @type {KeyboardEvent} */ event) => {
    const all = buttons()
    const here = all.findIndex((button) => button === document.activeElement)
    if (here < 0) return
    const rtl = document.documentElement.dir === 'rtl' ? -1 : 1
    const step = event.key === 'ArrowRight' ? rtl : event.key === 'ArrowLeft' ? -rtl : 0
    const to = event.key === 'Home' ? 0 : event.key === 'End' ? all.length - 1 : step === 0 ? -1 : (here + step + all.length) % all.length
    const target = all[to]
    if (!target) return
    event.preventDefault()
    setAt(to)
    target.focus()
  }
  return html`<div ref=${box} class="dock" role="toolbar" aria-label=${label} aria-orientation="horizontal" onKeyDown=${move}
    onFocusIn=${() => setAt(Math.max(0, buttons().findIndex((button) => button === document.activeElement)))}>${children}</div>`
}

/** The words two people compare. @param {{call: Call, onClose: () => void}} props */
function Security({ call, onClose }) {
  return html`<${Popover} label=${t('security.title')} onClose=${onClose} class="left"><h2>${t('security.title')}</h2><p>${t('security.text', { name: call.peer.name })}</p>
    <p class="words">${call.security?.words.map((word) => html`<b key=${word}>${word}</b>`)}</p><p class="hint">${t('security.differ')}</p><p class="hint mono">${call.security?.suite}</p>
    <button type="button" class="btn" onClick=${onClose}>${t('close')}</button></${Popover}>`
}

/** @param {{call: Call, onClose: () => void}} props */
function Stats({ call, onClose }) {
  const quality = call.quality
  const percent = (/** @type {number} */ value) => number(value / 100, { style: 'percent', maximumFractionDigits: 1 })
  const facts = [
    [t('stats.path'), call.path ? `${t('path.' + call.path.kind)}, ${t('address.' + call.path.address)}` : '–'],
    [t('stats.rtt'), call.path?.rtt_ms != null ? millis(call.path.rtt_ms) : '–'],
    [t('stats.delay'), quality?.delay_ms != null ? millis(quality.delay_ms) : '–'],
    [t('stats.playout'), quality?.playout_delay_ms != null ? millis(quality.playout_delay_ms) : '–'],
    [t('stats.loss'), quality ? percent(quality.loss_percent) : '–'],
    [t('stats.concealed'), quality ? percent(quality.concealed_percent) : '–'],
  ]
  return html`<${Popover} label=${t('stats.title')} onClose=${onClose} class="left"><h2>${quality?.text ?? t('stats.title')}</h2>
    <dl class="facts">${facts.map(([what, value]) => html`<dt key=${what}>${what}</dt><dd class="num">${value}</dd>`)}</dl>
    <button type="button" class="btn" onClick=${onClose}>${t('close')}</button></${Popover}>`
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
      ${ended?.can_retry && html`<button type="button" class="ctl wide-ctl go" onClick=${() => { send({ do: 'dismiss', call: call.id }); send({ do: 'dial', who: call.peer.peer_id, media: 'voice' }) }}><${Icon} name="i-phone" /><span>${t('stage.again')}</span></button>`}</div></footer>`
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
