// The line to the daemon: one WebSocket, typed messages, and patience when the daemon is away.

import { parseMessage } from './protocol.js'

/**
 * @typedef {import('./protocol.js').FromDaemon} FromDaemon
 * @typedef {import('./protocol.js').ToDaemon} ToDaemon
 * @typedef {object} Handlers
 * @property {(message: FromDaemon) => void} message
 * @property {(open: boolean) => void} open called once the daemon answered, and when it is gone
 */

const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 8000

/**
 * Keeps a line open until `stop`. The first message is the token; nothing is sent before it.
 * @param {string} token
 * @param {Handlers} handlers
 */
export function connect(token, handlers) {
  /** @type {WebSocket|null} */
  let socket = null
  let wait_ms = FIRST_RETRY_MS
  let timer = 0
  let stopped = false
  let heard = false

  const attempt = () => {
    clearTimeout(timer)
    if (stopped) return
    const url = new URL('/api/v1/socket', location.href)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    const mine = new WebSocket(url)
    socket = mine
    heard = false
    mine.addEventListener('open', () => mine.send(JSON.stringify({ type: 'auth', token })))
    mine.addEventListener('message', (event) => {
      const message = parseMessage(event.data)
      if (message === null || mine !== socket) return
      if (message.type === 'bye' && message.reason !== 'stopping') stopped = true
      if (!heard && message.type === 'view') {
        heard = true
        wait_ms = FIRST_RETRY_MS
        handlers.open(true)
      }
      handlers.message(message)
    })
    mine.addEventListener('close', () => {
      if (mine !== socket || stopped) return
      socket = null
      handlers.open(false)
      timer = setTimeout(attempt, wait_ms)
      wait_ms = Math.min(wait_ms * 2, LAST_RETRY_MS)
    })
  }

  // Somebody who comes back to the tab doesn't want to wait out the pause.
  const hurry = () => {
    if (document.visibilityState === 'visible' && socket === null && !stopped) {
      wait_ms = FIRST_RETRY_MS
      attempt()
    }
  }
  document.addEventListener('visibilitychange', hurry)
  attempt()

  return {
    /** Sends when the line is open; says whether it was. @param {ToDaemon} message */
    send(message) {
      if (!heard || socket?.readyState !== WebSocket.OPEN) return false
      socket.send(JSON.stringify(message))
      return true
    },
    /** Ends the line for good. */
    stop() {
      stopped = true
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', hurry)
      socket?.close()
      socket = null
    },
  }
}
