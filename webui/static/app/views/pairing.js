// Asks for the code that makes this browser this person's.

import { useState } from '../../vendor/hooks.mjs'
import { html } from '../html.js'
import { t } from '../i18n.js'

/** @param {{state: import('../state.js').State, signIn: (code: string) => Promise<void>}} props */
export function Pairing({ state, signIn }) {
  const [code, setCode] = useState('')
  const [busy, setBusy] = useState(false)
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    setBusy(true)
    await signIn(code.replace(/\D/g, ''))
    setBusy(false)
  }
  const wrong = state.pairing === 'wrong-code' || state.pairing === 'too-many'
  return html`<main class="center"><span class="logo" aria-hidden="true"></span>
    <h1>${t('pair.title')}</h1>
    <p>${t(state.pairing === 'revoked' ? 'pair.revoked' : 'pair.text')}</p>
    <form class="pair" onSubmit=${submit}>
      <label for="code">${t('pair.code')}</label>
      <input id="code" class="field code num" inputmode="numeric" autocomplete="one-time-code" maxlength="9" placeholder="1234 5678" autofocus
        aria-invalid=${wrong} aria-describedby=${wrong ? 'pair-wrong' : undefined}
        value=${code} onInput=${(/** @type {any} */ event) => setCode(event.currentTarget.value)} />
      ${wrong && html`<p id="pair-wrong" class="refusal" role="alert">${t(state.pairing === 'too-many' ? 'pair.too-many' : 'pair.wrong')}</p>`}
      <button class="btn prim wide" disabled=${busy || code.replace(/\D/g, '').length !== 8}>${t('pair.do')}</button>
    </form>
    <p class="hint">${t('pair.hint')} <kbd>ahoy pair</kbd></p></main>`
}
