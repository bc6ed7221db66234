// Who this browser is to the daemon: a token, got for a one-time code, kept for this origin only.

const KEY = 'ahoy.token'

/** @returns {string|null} */
export function token() {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null
  }
}

export function forget() {
  try {
    localStorage.removeItem(KEY)
  } catch { /* storage is off: there is nothing to forget */ }
}

/** The one-time code of the address, taken out of it before anything else happens. @returns {string|null} */
export function takeCode() {
  const found = /^#k=([^&]+)/.exec(location.hash)
  if (!found) return null
  history.replaceState(null, '', location.pathname + location.search)
  return decodeURIComponent(String(found[1]))
}

/**
 * Exchanges a code for a token and keeps it.
 * @param {string} code
 * @returns {Promise<'ok'|'wrong-code'|'too-many'|'unreachable'>}
 */
export async function exchange(code) {
  let response
  try {
    response = await fetch('/api/v1/session', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ code }),
    })
  } catch {
    return 'unreachable'
  }
  if (response.status === 429) return 'too-many'
  if (response.status >= 500) return 'unreachable'
  const body = await response.json().catch(() => null)
  if (!response.ok || typeof body?.token !== 'string') return 'wrong-code'
  localStorage.setItem(KEY, body.token)
  return 'ok'
}
