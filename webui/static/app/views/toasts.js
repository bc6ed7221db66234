// Short news at the edge of the window: what happened, what still works, what to do.

import { html } from '../html.js'
import { t } from '../i18n.js'
import { dispatch } from '../store.js'
import { useEffect } from '../../vendor/hooks.mjs'
import { Icon } from './parts.js'

/** Good news goes by itself; trouble, and where something was saved, stays until it is closed or over. */
const SHOWN_MS = 4000

/** @typedef {import('../state.js').Toast} Item */

/** @param {{toasts: Item[]}} props */
export function Toasts({ toasts }) {
  return html`<aside class="toasts" aria-label=${t('toasts')}>${toasts.map((toast) => html`<${Toast} toast=${toast} key=${toast.id} />`)}</aside>`
}

/** @param {{toast: Item}} props */
function Toast({ toast }) {
  const close = () => dispatch({ type: 'toast-closed', id: toast.id })
  useEffect(() => {
    if (toast.kind !== 'info') return undefined
    const timer = setTimeout(close, SHOWN_MS)
    return () => clearTimeout(timer)
  }, [toast.id])
  const icon = toast.kind === 'warn' ? 'i-triangle-alert' : 'i-check'
  return html`<div class=${'toast ' + toast.kind} role=${toast.kind === 'warn' ? 'alert' : 'status'}><${Icon} name=${icon} />
    <span><b>${toast.text || t(toast.kind === 'saved' ? 'rec.saved' : 'refused')}</b>${(toast.works || toast.do) && html`<small>${toast.works} ${toast.do}</small>`}</span>
    <button type="button" class="icb" aria-label=${t('close')} onClick=${close}><${Icon} name="i-x" small /></button></div>`
}
