// The address of the page: which list, which person, which part of the settings. Back and forward work.

/** @typedef {import('./state.js').Route} Route */

/** The address of a route. @param {Partial<Route>} route */
export function hrefOf(route) {
  const rest = route.peer ?? route.section
  return `#/${route.page ?? 'people'}${rest ? '/' + encodeURIComponent(rest) : ''}`
}

/** The route of an address; the people for one that means nothing. @param {string} hash @returns {Route} */
export function routeOf(hash) {
  const [page, rest] = hash.replace(/^#\/?/, '').split('/')
  const tail = rest ? decodeURIComponent(rest) : null
  switch (page) {
    case 'calls': return { page: 'calls', peer: tail, section: null }
    case 'settings': return { page: 'settings', peer: null, section: tail }
    default: return { page: 'people', peer: page === 'people' ? tail : null, section: null }
  }
}

/** @param {Partial<Route>} route */
export function go(route) {
  location.hash = hrefOf(route)
}
