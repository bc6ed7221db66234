// The bar under a call: microphone, camera, screen, hold, leave, and the windows they open.

import { useEffect, useRef, useState } from '../../vendor/hooks.mjs'
import { html } from '../html.js'
import { t, time } from '../i18n.js'
import { shows, toggleCamera } from '../pictures.js'
import { dispatch, now, send } from '../store.js'
import { Security, Stats } from './call-figures.js'
import { CameraMenu, MoreMenu, ShareMenu, toggleRecording } from './call-menus.js'
import { DevicePicker } from './devices.js'
import { Icon, Popover } from './parts.js'

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../protocol.js').View} View
 * @typedef {import('../protocol.js').Call} Call
 */

/** @param {{state: State, view: View, call: Call}} props */
export function Controls({ state, view, call }) {
  const open = (/** @type {import('../state.js').Popover} */ popover) => () => dispatch({ type: 'popover', popover: state.popover === popover ? null : popover })
  const close = () => dispatch({ type: 'popover', popover: null })
  const talking = call.state === 'active' || call.state === 'reconnecting'
  const waiting = call.state === 'calling' || call.state === 'ringing_out'
  const filmed = shows(view, call, 'camera')
  const shared = shows(view, call, 'screen')
  const people = call.peer.kind !== 'echo'
  const camera = view.devices.camera
  return html`<footer class="bar" id="controls">
    <div class="bl"><span class="num clock">${time(now())}</span><span class="bar-sep"></span><span class="bt">${call.peer.name}</span></div>
    <${Dock} label=${t('stage.controls')}>
      <div class=${'split' + (call.muted ? ' off' : '')}><button type="button" class="ctl" aria-pressed=${call.muted} aria-label=${t('mute')} title=${t('mute') + ' (M)'} aria-keyshortcuts="m"
          onClick=${() => send({ do: 'mute', call: call.id, on: !call.muted })}><${Icon} name=${call.muted ? 'i-mic-off' : 'i-mic'} /></button>
        <button type="button" class="caret" data-opens="devices" aria-label=${t('devices.menu')} aria-haspopup="dialog" aria-expanded=${state.popover === 'devices'} onClick=${open('devices')}><${Icon} name="i-chevron-up" /></button></div>
      ${people && html`<div class=${'split' + (filmed && camera.state === 'ok' ? '' : ' idle')}><button type="button" class="ctl" aria-pressed=${filmed} aria-label=${t('camera')} title=${t('camera') + ' (V)'} aria-keyshortcuts="v" onClick=${() => void toggleCamera(call)}>
          <${Icon} name=${filmed ? 'i-video' : 'i-video-off'} />${camera.state !== 'ok' && html`<i class="bad" aria-hidden="true">!</i>`}</button>
        <button type="button" class="caret" data-opens="camera" aria-label=${t('camera.menu')} aria-haspopup="dialog" aria-expanded=${state.popover === 'camera'} onClick=${open('camera')}><${Icon} name="i-chevron-up" /></button></div>
      <button type="button" class=${'ctl' + (shared ? ' on' : '')} data-opens="share" aria-pressed=${shared} aria-label=${t('share')} title=${t('share') + ' (S)'} aria-keyshortcuts="s" aria-haspopup="dialog" aria-expanded=${state.popover === 'share'} onClick=${open('share')}><${Icon} name="i-monitor-up" /></button>`}
      ${talking && html`<button type="button" class=${'ctl hide-m' + (call.hold.local ? ' on' : '')} aria-pressed=${call.hold.local} aria-label=${t('hold')} title=${t('hold')} onClick=${() => send({ do: 'hold', call: call.id, on: !call.hold.local })}><${Icon} name=${call.hold.local ? 'i-play' : 'i-pause'} /></button>`}
      <button type="button" class="ctl only-m" data-opens="more" aria-label=${t('more')} aria-haspopup="dialog" aria-expanded=${state.popover === 'more'} onClick=${open('more')}><${Icon} name="i-ellipsis" /></button>
      <button type="button" class="ctl leave" aria-label=${t(waiting ? 'stage.cancel' : 'stage.leave-call')} onClick=${() => send({ do: 'hang_up', call: call.id })}><${Icon} name="i-phone-off" /><span>${t(waiting ? 'cancel' : 'stage.leave')}</span></button></${Dock}>
    <div class="brr">${call.security && html`<button type="button" class="ctl ghost" data-opens="security" aria-label=${t('security.title')} title=${t('security.title')} aria-haspopup="dialog" onClick=${open('security')}><${Icon} name="i-shield-check" /></button>`}
      ${talking && html`<button type="button" class=${'ctl ghost rec-ctl' + (call.recording.own === 'off' ? '' : ' on')} aria-pressed=${call.recording.own !== 'off'} aria-label=${t('rec')} title=${call.recording.file ?? t('rec.hint', { name: call.peer.name })} onClick=${() => toggleRecording(call)}><${Icon} name="i-disc" /></button>`}
      ${talking && html`<button type="button" class="ctl ghost" data-opens="stats" aria-label=${t('stats.title')} title=${t('stats.title')} aria-haspopup="dialog" onClick=${open('stats')}><${Icon} name="i-activity" /></button>`}</div>
    ${state.popover === 'devices' && html`<${Popover} label=${t('devices.menu')} onClose=${close}><${DevicePicker} devices=${view.devices} inCall=${true} /></${Popover}>`}
    ${state.popover === 'camera' && html`<${CameraMenu} view=${view} call=${call} onClose=${close} />`}
    ${state.popover === 'share' && html`<${ShareMenu} view=${view} call=${call} onClose=${close} />`}
    ${state.popover === 'more' && html`<${MoreMenu} state=${state} view=${view} call=${call} onClose=${close} />`}
    ${state.popover === 'security' && call.security && html`<${Security} call=${call} onClose=${close} />`}
    ${state.popover === 'stats' && html`<${Stats} view=${view} call=${call} onClose=${close} />`}</footer>`
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
