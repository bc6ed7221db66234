// What is on the screen: pairing, first run, or home with the stage, the ring and the dialogs above it.

import { ringingCall, stageCall } from '../derive.js'
import { html } from '../html.js'
import { t } from '../i18n.js'
import { Dialogs } from './dialogs.js'
import { FirstRun } from './first-run.js'
import { Home } from './home.js'
import { Pairing } from './pairing.js'
import { Ring } from './ring.js'
import { MiniBar, Stage } from './stage.js'
import { Toasts } from './toasts.js'

/** @param {{state: import('../state.js').State, signIn: (code: string) => Promise<void>}} props */
export function App({ state, signIn }) {
  if (state.link === 'pairing') return html`<${Pairing} state=${state} signIn=${signIn} />`
  if (state.view === null) return html`<${Waiting} lost=${state.link === 'lost'} />`
  const call = stageCall(state)
  const ringing = ringingCall(state)
  const staged = call !== null && !state.minimised
  return html`
    ${state.link === 'lost' && html`<div class="gone" role="status"><b>${t('gone.title')}</b> ${t('gone.text')}</div>`}
    ${state.first !== null && !staged ? html`<${FirstRun} state=${state} view=${state.view} />`
      : !staged && html`${call && html`<${MiniBar} call=${call} />`}<${Home} state=${state} view=${state.view} />`}
    ${staged && html`<${Stage} state=${state} view=${state.view} call=${call} key=${call.id} />`}
    ${ringing && html`<${Ring} state=${state} call=${ringing} key=${'ring' + ringing.id} />`}
    <${Dialogs} state=${state} view=${state.view} />
    <${Toasts} toasts=${state.toasts} />`
}

/** @param {{lost: boolean}} props */
function Waiting({ lost }) {
  return html`<main class="center"><span class="logo" aria-hidden="true"></span>
    <h1>${t(lost ? 'gone.title' : 'starting')}</h1>${lost && html`<p>${t('gone.text')}</p>`}</main>`
}
