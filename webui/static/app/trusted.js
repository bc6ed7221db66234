// The page's one Trusted Types policy: it lets scripts be loaded from this very origin, and nothing else.

/** @type {{createScriptURL(path: string): any}|null} */
let policy = null

/** An address a worker may be started from. @param {string} path @returns {any} */
export function scriptUrl(path) {
  const trustedTypes = /** @type {any} */ (globalThis).trustedTypes
  const sameOrigin = (/** @type {string} */ text) => {
    const url = new URL(text, location.href)
    if (url.origin !== location.origin) throw new TypeError('scripts come from this origin only')
    return url.href
  }
  if (!trustedTypes) return sameOrigin(path)
  policy ??= trustedTypes.createPolicy('app', { createScriptURL: sameOrigin })
  return policy?.createScriptURL(path)
}
