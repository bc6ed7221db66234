// What a call to Echo found out about this person's sound: in words, with the figures behind them.

import { html } from '../html.js'
import { millis, number, t } from '../i18n.js'
import { Icon } from './parts.js'

/** @typedef {import('../protocol.js').EchoTest} Test */

const decibels = (/** @type {number} */ value) => t('echo.decibels', { n: number(value, { maximumFractionDigits: 0 }) })
const percent = (/** @type {number} */ value) => number(value / 100, { style: 'percent', maximumFractionDigits: 1 })

/** @param {{test: Test}} props */
export function EchoTest({ test }) {
  const facts = [
    ['echo.voice', test.speech_dbfs === null ? t('echo.no-voice') : decibels(test.speech_dbfs)],
    ['echo.background', decibels(test.background_dbfs)],
    ['echo.returned', decibels(test.returned_dbfs)],
    ['echo.round-trip', test.round_trip_ms === null ? '–' : millis(test.round_trip_ms)],
    ['echo.return-loss', test.echo_return_loss_db === null ? t('echo.not-heard') : t('echo.quieter', { n: number(test.echo_return_loss_db, { maximumFractionDigits: 0 }) })],
    ['stats.loss', percent(test.lost_percent)],
  ]
  const fine = test.faults.length === 0
  return html`<section class=${'echo-test' + (fine ? '' : ' wrong')} aria-label=${t('echo.result')} tabindex="0">
    <div role="status">${fine
      ? html`<p class="verdict"><${Icon} name="i-check" /><b>${test.text}.</b></p>`
      : html`<ul role="list">${test.faults.map((fault) => html`<li key=${fault.code}><p class="verdict"><${Icon} name="i-triangle-alert" /><b>${fault.text}.</b></p><p>${fault.works} ${fault.do}</p></li>`)}</ul>`}</div>
    <dl class="facts">${facts.map(([what, value]) => html`<dt key=${what}>${t(what)}</dt><dd class="num">${value}</dd>`)}</dl></section>`
}
