// Starts the page: words, sign-in, the line to the daemon, the tree, the keys.

import { render } from '../vendor/preact.mjs'
import { effect } from '../vendor/signals.mjs'
import { startEffects, takeLook } from './effects.js'
import { routeOf } from './go.js'
import { html } from './html.js'
import { LANGUAGES, PSEUDO, use } from './i18n.js'
import { startKeys } from './keys.js'
import * as session from './session.js'
import { connect } from './socket.js'
import { current, dispatch, scene, setTransport, watch } from './store.js'
import { scriptUrl } from './trusted.js'
import { App } from './views/app.js'

/** @type {ReturnType<typeof connect>|null} */
let line = null

/** Opens the line with the token this browser holds. */
function open() {
  const token = session.token()
  if (token === null) return dispatch({ type: 'link', link: 'pairing', why: 'no-token' })
  dispatch({ type: 'link', link: 'connecting' })
  line?.stop()
  line = connect(token, {
    open: (is) => dispatch({ type: 'link', link: is ? 'open' : 'lost' }),
    message: (message) => {
      switch (message.type) {
        case 'view': return dispatch({ type: 'view', view: message.view, now_ms: Date.now() })
        case 'levels': return dispatch({ type: 'levels', levels: message, now_ms: Date.now() })
        case 'reply':
          return dispatch(message.ok ? { type: 'reply', id: message.id, ok: true, result: message.result } : { type: 'reply', id: message.id, ok: false, error: message.error })
        case 'bye':
          if (message.reason !== 'stopping') session.forget()
          return dispatch({ type: 'bye', reason: message.reason })
      }
    },
  })
}

/** Exchanges a code for a session. @param {string} code */
export async function signIn(code) {
  const result = await session.exchange(code)
  if (result === 'ok') open()
  else dispatch({ type: 'link', link: 'pairing', why: result === 'unreachable' ? 'no-token' : result })
}

async function language() {
  const wanted = new URLSearchParams(location.search).get('lang') ?? navigator.language.split('-')[0] ?? 'en'
  const chosen = LANGUAGES.includes(wanted) || PSEUDO.includes(wanted) ? wanted : 'en'
  const file = PSEUDO.includes(chosen) ? 'en' : chosen
  use(chosen, await (await fetch(`/locales/${file}.json`)).json())
  document.documentElement.lang = file
  document.documentElement.dir = chosen === 'qps-rtl' ? 'rtl' : 'ltr'
}

async function start() {
  const code = session.takeCode()
  await language()
  setTransport((id, command) => line?.send({ type: 'command', id, command }) ?? false)
  watch(startEffects({ levels: (on) => void line?.send({ type: 'levels', on }) }))
  startKeys()
  takeLook()
  const route = () => dispatch({ type: 'route', route: routeOf(location.hash) })
  window.addEventListener('hashchange', () => {
    const late = session.takeCode()
    if (late === null) return route()
    // A page that is signed in has no use for a second code, and a new line would lose what is under way on the old one.
    if (current().link !== 'open') void signIn(late)
  })
  route()
  const root = /** @type {HTMLElement} */ (document.getElementById('app'))
  effect(() => render(html`<${App} state=${scene.value} signIn=${signIn} />`, root))
  if (code !== null) await signIn(code)
  else open()
  if ('serviceWorker' in navigator) {
    // An installable page is a comfort: without it everything works.
    navigator.serviceWorker.register(scriptUrl('/sw.js')).catch(() => {})
  }
}

void start()
