// The windows beside a call for the careful and the curious: the words two people compare, and figures with their last two minutes.

import { html } from '../html.js'
import { millis, number, t } from '../i18n.js'
import { history, points } from '../history.js'
import { Popover } from './parts.js'

/** @typedef {import('../protocol.js').Call} Call */
/** @typedef {import('../protocol.js').View} View */

/** The words two people compare. @param {{call: Call, onClose: () => void}} props */
export function Security({ call, onClose }) {
  return html`<${Popover} label=${t('security.title')} onClose=${onClose} class="left"><h2>${t('security.title')}</h2><p>${t('security.text', { name: call.peer.name })}</p>
    <p class="words">${call.security?.words.map((word) => html`<b key=${word}>${word}</b>`)}</p><p class="hint">${t('security.differ')}</p><p class="hint mono">${call.security?.suite}</p>
    <button type="button" class="btn" onClick=${onClose}>${t('close')}</button></${Popover}>`
}

const percent = (/** @type {number} */ value) => number(value / 100, { style: 'percent', maximumFractionDigits: 1 })
const rate = (/** @type {number} */ value) => t('stats.rate', { n: number(value, { maximumFractionDigits: 0 }) })
const bits = (/** @type {number} */ value) => value >= 1_000_000
  ? t('stats.mbits', { n: number(value / 1_000_000, { maximumFractionDigits: 1 }) })
  : t('stats.kbits', { n: number(value / 1000, { maximumFractionDigits: 0 }) })

/** @param {{view: View, call: Call, onClose: () => void}} props */
export function Stats({ view, call, onClose }) {
  const quality = call.quality
  const or = (/** @type {number|null|undefined} */ value, /** @type {(value: number) => string} */ words) => (value == null ? '–' : words(value))
  const facts = [
    [t('stats.path'), call.path ? `${t('path.' + call.path.kind)}, ${t('address.' + call.path.address)}` : '–'],
    [t('stats.rtt'), or(call.path?.rtt_ms, millis)],
    [t('stats.playout'), or(quality?.playout_delay_ms, millis)],
    [t('stats.concealed'), or(quality?.concealed_percent, percent)],
  ]
  const pictures = call.tracks.map((track) => {
    const mine = track.peer_id === view.me.peer_id
    const size = track.width && track.height ? `${track.width} × ${track.height}` : '–'
    return { name: t('stats.' + (mine ? 'sent.' : 'got.') + track.track), size, key: `${mine ? 'sent' : 'got'} ${track.track}`, track }
  })
  return html`<${Popover} label=${t('stats.title')} onClose=${onClose} class="left stats"><h2>${t('stats.title')}${quality && html`<span class=${'grade ' + quality.word}>${quality.text}</span>`}</h2>
    <dl class="facts">${facts.map(([what, value]) => html`<dt key=${what}>${what}</dt><dd class="num">${value}</dd>`)}</dl>
    <${Graph} call=${call} of="delay" label=${t('stats.delay')} words=${or(quality?.delay_ms, millis)} least=${100} />
    <${Graph} call=${call} of="loss" label=${t('stats.loss')} words=${or(quality?.loss_percent, percent)} least=${5} />
    ${pictures.map(({ name, size, key, track }) => html`<section key=${key}><h3>${name}<span class="num">${size}</span></h3>
      <${Graph} call=${call} of=${key + ' rate'} label=${t('stats.frames')} words=${or(track.frame_rate, rate)} least=${30} />
      <${Graph} call=${call} of=${key + ' bits'} label=${t('stats.bits')} words=${or(track.bitrate_bps, bits)} least=${100_000} /></section>`)}
    <button type="button" class="btn" onClick=${onClose}>${t('close')}</button></${Popover}>`
}

/** The last two minutes of a figure. @param {{call: Call, of: string, label: string, words: string, least: number}} props */
function Graph({ call, of, label, words, least }) {
  const values = (history.value[call.id] ?? []).map((sample) => sample.values[of] ?? null)
  return html`<div class="graph"><span>${label}</span><b class="num">${words}</b>
    <svg viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${t('stats.graph', { what: label })}><polyline points=${points(values, least)} /></svg></div>`
}
