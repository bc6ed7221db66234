// One tile of the stage: a picture or the person's letter, their name, and what is worth knowing.

import { useLayoutEffect, useRef, useState } from '../../vendor/hooks.mjs'
import { hue, meter } from '../derive.js'
import { html } from '../html.js'
import { number, t } from '../i18n.js'
import { cornerAt, cornerByKey } from '../layout.js'
import { attach, nameOf, sizes } from '../media/tiles.js'
import { stop } from '../pictures.js'
import { dispatch, levels } from '../store.js'
import { Avatar, Icon, Reconnecting, Signal } from './parts.js'

/**
 * @typedef {import('../protocol.js').View} View
 * @typedef {import('../protocol.js').Call} Call
 * @typedef {import('../layout.js').Spot} Spot
 */

/** A canvas that the worker draws on. @param {{call: string, peer_id: string, track: 'camera'|'screen', label: string, mirrored?: boolean}} props */
export function Picture({ call, peer_id, track, label, mirrored }) {
  const box = useRef(/** @type {HTMLCanvasElement|null} */ (null))
  useLayoutEffect(() => (box.current ? attach(box.current, { call, peer_id, track }) : undefined), [])
  return html`<canvas ref=${box} width="16" height="9" class=${'pic ' + track + (mirrored ? ' mirrored' : '')} role="img" aria-label=${label}></canvas>`
}

/** Whether a picture has been drawn. @param {Call} call @param {Spot} spot */
function drawn(call, spot) {
  return spot.track !== null && sizes.value[nameOf({ call: call.id, peer_id: spot.peer_id, track: spot.track })] !== undefined
}

/** A person, with their camera or without. @param {{view: View, call: Call, spot: Spot, large?: boolean}} props */
export function Person({ view, call, spot, large }) {
  const { loud_at, levels: heard } = levels.value
  const live = call.state === 'active' && !call.hold.local && !call.hold.remote
  const name = spot.mine ? t('you') : call.peer.name
  const loud = !live ? 0 : spot.mine ? (call.muted ? 0 : meter(heard?.microphone)) : meter(heard?.peers[spot.peer_id])
  const speaking = live && !spot.mine && loud_at[spot.peer_id] !== undefined
  const shown = drawn(call, spot)
  const track = call.tracks.find((each) => each.peer_id === spot.peer_id && each.track === 'camera')
  const muted = spot.mine && call.muted
  const status = [speaking && t('tile.speaking'), muted && t('tile.muted'), !spot.mine && weakWords(call, track?.frozen ?? false, live)?.text].filter(Boolean)
  return html`<div class=${'tile' + (speaking ? ' speaking' : '') + (call.state === 'reconnecting' && !spot.mine ? ' dim' : '') + (shown ? ' live' : '')}
      style=${{ '--h': hue(spot.peer_id), '--loud': loud }}>
    ${spot.track && html`<${Picture} key=${spot.track} call=${call.id} peer_id=${spot.peer_id} track=${spot.track} mirrored=${spot.mine && view.settings.mirror_self} label=${t(spot.mine ? 'tile.own-camera' : 'tile.camera', { name })} />`}
    ${!shown && html`<span class="halo" aria-hidden="true"></span><${Avatar} peer=${spot.peer_id} name=${spot.mine ? view.me.name : name} echo=${!spot.mine && call.peer.kind === 'echo'} size=${large ? 'giant' : 'large'} />`}
    ${!spot.mine && html`<${Weak} call=${call} frozen=${track?.frozen ?? false} live=${live} />`}
    ${large && call.state === 'reconnecting' && !spot.mine && html`<p class="over-pic" role="status"><${Reconnecting} since=${call.reconnecting_since_ms} /></p>`}
    ${large && !live && call.state === 'active' && html`<p class="over-pic" role="status">${call.hold.local ? t('hold.local') : t('hold.remote', { name })}</p>`}
    <span class="tag">${muted && html`<${Icon} name="i-mic-off" small />`}${speaking && html`<span class="eq" aria-hidden="true"><i></i><i></i><i></i></span>`}<span class="nm">${name}</span>
      ${status.length > 0 && html`<span class="sr">, ${status.join(', ')}</span>`}</span></div>`
}

/** @param {Call} call @param {boolean} frozen @param {boolean} live @returns {{text: string, kind: string}|null} */
function weakWords(call, frozen, live) {
  if (!live) return null
  if (frozen) return { text: t('tile.frozen'), kind: 'poor' }
  if (call.quality && call.quality.word !== 'good') return { text: call.quality.text, kind: call.quality.word }
  return null
}

/** What is wrong with the connection, in words. @param {{call: Call, frozen: boolean, live: boolean}} props */
export function Weak({ call, frozen, live }) {
  const words = weakWords(call, frozen, live)
  if (!words) return null
  return html`<span class=${'weak ' + words.kind}><${Signal} word=${words.kind === 'poor' ? 'poor' : 'fair'} /><span>${words.text}</span></span>`
}

/** Steps of the zoom. */
const ZOOMS = [1, 1.25, 1.5, 2, 3, 4]

/** A shared screen: all its pixels, with zoom. @param {{call: Call, spot: Spot}} props */
export function Share({ call, spot }) {
  const [zoom, setZoom] = useState(1)
  const pane = useRef(/** @type {HTMLElement|null} */ (null))
  const size = sizes.value[nameOf({ call: call.id, peer_id: spot.peer_id, track: 'screen' })]
  const title = spot.mine ? t('share.mine') : t('share.theirs', { name: call.peer.name })
  const step = (/** @type {number} */ by) => {
    const at = ZOOMS.findIndex((each) => each >= zoom - 0.01)
    setZoom(ZOOMS[Math.min(ZOOMS.length - 1, Math.max(0, (at < 0 ? ZOOMS.length - 1 : at) + by))] ?? 1)
  }
  // One pixel of theirs on one of this screen.
  const actual = () => {
    const box = pane.current?.getBoundingClientRect()
    if (!size || !box) return
    const fitted = Math.min(box.width / size.width, box.height / size.height) * devicePixelRatio
    setZoom(Math.max(1, 1 / fitted))
  }
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === '+' || event.key === '=') step(1)
    else if (event.key === '-') step(-1)
    else if (event.key === '0') setZoom(1)
    else if (event.key === '1') actual()
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const wheel = (/** @type {WheelEvent} */ event) => {
    if (!event.ctrlKey) return
    event.preventDefault()
    setZoom((/** @type {number} */ now) => Math.min(4, Math.max(1, now * (event.deltaY < 0 ? 1.15 : 1 / 1.15))))
  }
  return html`<section class="share" aria-label=${title} style=${size ? { '--shape': `${size.width} / ${size.height}` } : {}}>
    <header class="share-tag"><${Icon} name="i-monitor-up" small /><h2>${title}</h2>
      <span class="zooms" role="group" aria-label=${t('zoom.title')}><button type="button" aria-label=${t('zoom.out')} disabled=${zoom <= 1} onClick=${() => step(-1)}><${Icon} name="i-zoom-out" small /></button>
        <button type="button" class="num" aria-label=${t('zoom.fit')} title=${t('zoom.fit')} onClick=${() => setZoom(1)}>${zoom <= 1 ? t('zoom.fitted') : number(zoom, { style: 'percent' })}</button>
        <button type="button" aria-label=${t('zoom.in')} disabled=${zoom >= 4} onClick=${() => step(1)}><${Icon} name="i-zoom-in" small /></button>
        <button type="button" class="only-w" aria-label=${t('zoom.actual')} title=${t('zoom.actual')} onClick=${actual}><${Icon} name="i-scan" small /></button></span></header>
    <div class="share-in" ref=${pane} tabindex="0" role="group" aria-label=${t('zoom.pane')} onKeyDown=${key} onWheel=${wheel}>
      <div class="share-pic" style=${{ '--zoom': zoom }}><${Picture} call=${call.id} peer_id=${spot.peer_id} track="screen" label=${title} />${!size && html`<p class="over-pic">${t('share.waits')}</p>`}</div></div></section>`
}

/** A shared screen as one tile among others. @param {{call: Call, spot: Spot}} props */
export function ShareTile({ call, spot }) {
  const title = spot.mine ? t('share.mine') : t('share.theirs', { name: call.peer.name })
  return html`<div class="tile sharing"><${Picture} call=${call.id} peer_id=${spot.peer_id} track="screen" label=${title} />
    <span class="tag"><${Icon} name="i-monitor-up" small /><span class="nm">${title}</span></span></div>`
}

/** Says that the own screen is seen by the other, with the way to end it. @param {{view: View, call: Call}} props */
export function SharingBar({ view, call }) {
  if (!call.tracks.some((each) => each.track === 'screen' && each.peer_id === view.me.peer_id)) return null
  const source = view.devices.screens.find((each) => each.id === view.devices.screen.id)
  return html`<div class="other sharing-bar" role="status"><${Icon} name="i-monitor-up" small /><span><b>${t('share.on', { name: call.peer.name })}</b>${source && html`<span class="only-w"> · ${source.name}</span>`}</span>
    <button type="button" class="glass danger" onClick=${() => stop(call, 'screen')}>${t('share.stop')}</button></div>`
}

/** The own picture that floats: dragged to a corner, or moved there by the arrow keys. @param {{view: View, call: Call, spot: Spot, corner: import('../layout.js').Corner}} props */
export function Self({ view, call, spot, corner }) {
  const box = useRef(/** @type {HTMLElement|null} */ (null))
  const drag = useRef(/** @type {{x: number, y: number}|null} */ (null))
  const down = (/** @type {PointerEvent} */ event) => {
    if (event.button !== 0) return
    drag.current = { x: event.clientX, y: event.clientY }
    box.current?.setPointerCapture(event.pointerId)
  }
  const move = (/** @type {PointerEvent} */ event) => {
    if (!drag.current || !box.current) return
    box.current.classList.add('dragged')
    box.current.style.translate = `${event.clientX - drag.current.x}px ${event.clientY - drag.current.y}px`
  }
  const up = () => {
    const self = box.current
    const floor = self?.parentElement?.getBoundingClientRect()
    if (!drag.current || !self || !floor) return
    drag.current = null
    const now = self.getBoundingClientRect()
    self.classList.remove('dragged')
    self.style.translate = ''
    dispatch({ type: 'corner', corner: cornerAt((now.x + now.width / 2 - floor.x) / floor.width, (now.y + now.height / 2 - floor.y) / floor.height) })
  }
  const key = (/** @type {KeyboardEvent} */ event) => {
    const next = cornerByKey(corner, event.key)
    if (next === corner) return
    event.preventDefault()
    dispatch({ type: 'corner', corner: next })
  }
  return html`<div ref=${box} class=${'self ' + corner} role="group" tabindex="0" aria-label=${t('self.label')} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${key}>
    <${Person} view=${view} call=${call} spot=${spot} /></div>`
}
