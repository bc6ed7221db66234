// Makes the page installable and shows something when the daemon is away: the shell is kept, nothing else.
// Everything comes from the network first, so that a new daemon's page is seen at once; /api is never touched.

const CACHE = 'ahoy-shell-1'

self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => {
  event.waitUntil(caches.keys()
    .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
    .then(() => self.clients.claim()))
})
self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url)
  if (event.request.method !== 'GET' || url.origin !== location.origin || url.pathname.startsWith('/api/')) return
  event.respondWith(fetch(event.request)
    .then((response) => {
      if (response.ok) {
        const copy = response.clone()
        event.waitUntil(caches.open(CACHE).then((cache) => cache.put(event.request, copy)))
      }
      return response
    })
    .catch(() => caches.match(event.request, { ignoreSearch: true }).then((kept) => kept ?? Response.error())))
})
