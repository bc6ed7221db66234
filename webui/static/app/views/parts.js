// Small things that all views are made of: icons, pictures of people, meters, clocks, menus, dialogs.

import { useEffect, useLayoutEffect, useRef } from '../../vendor/hooks.mjs'
import { signal } from '../../vendor/signals.mjs'
import { hue, initialOf, meter } from '../derive.js'
import { html } from '../html.js'
import { clock, t } from '../i18n.js'
import { dispatch, levels, now } from '../store.js'

/** The sprite of vendor.mjs. @param {{name: string, small?: boolean}} props `name` as in 'i-phone' */
export function Icon({ name, small }) {
  return html`<svg class=${'ic' + (small ? ' xs' : '')} aria-hidden="true"><use href=${'/icons/sprite.svg#' + name} /></svg>`
}

/** Bars of a connection: those it lacks are faint. @param {{word: 'good'|'fair'|'poor'}} props */
export function Signal({ word }) {
  const lit = word === 'good' ? 'i-signal' : word === 'fair' ? 'i-signal-medium' : 'i-signal-low'
  return html`<svg class="ic xs" aria-hidden="true"><use href="/icons/sprite.svg#i-signal" opacity=".32" /><use href=${'/icons/sprite.svg#' + lit} /></svg>`
}

/** A person as a coloured letter. @param {{peer: string, name: string, online?: boolean, echo?: boolean, size?: string}} props */
export function Avatar({ peer, name, online, echo, size }) {
  return html`<span class=${`av ${online ? 'on' : ''} ${size ?? ''}`} style=${{ '--h': hue(peer) }} aria-hidden="true">
    ${echo ? html`<${Icon} name="i-audio-lines" />` : initialOf(name)}</span>`
}

/** Ticks once a second for clocks, while somebody looks. */
const tick = signal(0)
setInterval(() => {
  if (document.visibilityState === 'visible') tick.value += 1
}, 1000)

/** A running clock. @param {{since: number}} props milliseconds since 1970, on the daemon's clock */
export function Clock({ since }) {
  void tick.value
  const passed = Math.max(0, now() - since)
  return html`<time class="num" datetime=${`PT${Math.floor(passed / 1000)}S`}>${clock(passed)}</time>`
}

/** That the link is being looked for again, and for how long by now. @param {{since: number|null}} props */
export function Reconnecting({ since }) {
  void tick.value
  const words = t('phase.reconnecting')
  if (since === null) return words
  return html`<span class="num">${words} · ${t('time.seconds', { n: Math.max(0, Math.round((now() - since) / 1000)) })}</span>`
}

/** A level meter. @param {{of: 'microphone'|'speaker', label: string}} props */
export function Meter({ of, label }) {
  const full = meter(levels.value.levels?.[of])
  return html`<span class="meter" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(full * 100)}>
    <span style=${{ '--full': full }}></span></span>`
}

/** A QR code drawn as one path. @param {{code: {size: number, rows: string[]}, label: string}} props */
export function Qr({ code, label }) {
  const dark = code.rows.flatMap((row, y) => [...row].map((module, x) => (module === '1' ? `M${x} ${y}h1v1h-1z` : ''))).join('')
  const size = code.size + 8
  return html`<svg class="qr" role="img" aria-label=${label} viewBox=${`-4 -4 ${size} ${size}`} shape-rendering="crispEdges">
    <rect x="-4" y="-4" width=${size} height=${size} fill="#fff" /><path d=${dark} fill="#000" /></svg>`
}

/** Text with a button that copies it. @param {{text: string, label: string, children?: any}} props */
export function Copy({ text, label, children }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      dispatch({ type: 'toast', toast: { id: 'copied', kind: 'info', text: t('copied'), works: '', do: '' } })
    } catch {
      dispatch({ type: 'toast', toast: { id: 'copied', kind: 'warn', text: t('copy.failed'), works: '', do: '' } })
    }
  }
  return html`<button type="button" class="btn" onClick=${copy} aria-label=${label}><${Icon} name="i-copy" small />${children ?? t('copy')}</button>`
}

/** Closes on a click outside, keeps focus in order, gives it back. @param {{label: string, onClose: () => void, class?: string, children?: any}} props */
export function Popover({ label, onClose, class: name, children }) {
  const box = useRef(/** @type {HTMLElement|null} */ (null))
  useLayoutEffect(() => {
    const opener = document.activeElement
    if (box.current && opener instanceof HTMLElement && opener.dataset.opens && !box.current.classList.contains('under')) place(box.current, opener)
    const first = box.current?.querySelector('button, input, select')
    if (first instanceof HTMLElement) first.focus({ preventScroll: true })
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [])
  useEffect(() => {
    const outside = (/** @type {Event} */ event) => {
      if (event.target instanceof Node && !box.current?.contains(event.target) && !(event.target instanceof Element && event.target.closest('[data-opens]'))) onClose()
    }
    document.addEventListener('pointerdown', outside)
    return () => document.removeEventListener('pointerdown', outside)
  }, [])
  return html`<div ref=${box} class=${'pop ' + (name ?? '')} role="dialog" aria-label=${label}>${children}</div>`
}

/** Narrow windows have sheets at the lower edge instead. */
const SHEETS_PX = 640
/** Between a window, its opener and the edge. */
const GAP_PX = 16

/** Puts a window over its opener, or under it in the upper half of the page. @param {HTMLElement} box @param {HTMLElement} opener */
function place(box, opener) {
  const floor = box.offsetParent?.getBoundingClientRect()
  if (!floor || innerWidth <= SHEETS_PX) return
  const at = opener.getBoundingClientRect()
  const width = box.offsetWidth
  const left = Math.max(GAP_PX, Math.min(at.left + at.width / 2 - width / 2, innerWidth - width - GAP_PX))
  Object.assign(box.style, { left: `${left - floor.left}px`, right: 'auto', translate: 'none' })
  if (at.top < innerHeight / 2) Object.assign(box.style, { top: `${at.bottom + GAP_PX / 2 - floor.top}px`, bottom: 'auto' })
}

/** A modal window of the page. @param {{title: string, onClose: () => void, children?: any}} props */
export function Modal({ title, onClose, children }) {
  const box = useRef(/** @type {HTMLDialogElement|null} */ (null))
  useLayoutEffect(() => {
    const opener = document.activeElement
    box.current?.showModal()
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [])
  const backdrop = (/** @type {MouseEvent} */ event) => {
    if (event.target === box.current) onClose()
  }
  return html`<dialog ref=${box} class="modal" aria-labelledby="modal-title" onCancel=${(/** @type {Event} */ event) => {
    event.preventDefault()
    onClose()
  }} onClick=${backdrop}><div class="modal-in">
    <header><h2 id="modal-title">${title}</h2><button type="button" class="icb" aria-label=${t('close')} onClick=${onClose}><${Icon} name="i-x" /></button></header>
    ${children}</div></dialog>`
}

/** What was refused, in three sentences. @param {{problem: import('../protocol.js').Problem|null|undefined}} props */
export function Refusal({ problem }) {
  if (!problem) return null
  return html`<p class="refusal" role="alert"><b>${problem.what}</b> ${problem.works} ${problem.do}</p>`
}

/** A switch with its words. @param {{label: string, hint?: string, on: boolean, disabled?: boolean, onChange: (on: boolean) => void}} props */
export function Switch({ label, hint, on, disabled, onChange }) {
  return html`<label class="switch"><span><b>${label}</b>${hint && html`<small>${hint}</small>`}</span>
    <input type="checkbox" role="switch" checked=${on} disabled=${disabled} onChange=${(/** @type {any} */ event) => onChange(event.currentTarget.checked)} /></label>`
}
