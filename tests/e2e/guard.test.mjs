// The local port against everybody who is not this person: other sites, other ports, other names, other users.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { chromiumWindow, launchChromium, settle } from './lib/browsers.mjs'
import { startDaemon } from './lib/daemon.mjs'

let daemon
let browser
let origin
let evil
before(async () => {
  daemon = await startDaemon()
  origin = new URL(await daemon.link()).origin
  evil = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<h1>evil</h1>'))
  await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve))
  // evil.test points to this computer: what a DNS rebinding attack ends with.
  browser = await launchChromium(['--host-resolver-rules=MAP evil.test 127.0.0.1', '--disable-features=LocalNetworkAccessChecks'])
})
after(async () => {
  await browser.close()
  evil.closeAllConnections()
  evil.close()
  await daemon.stop()
})

const status = (url, options) => fetch(url, options).then((response) => response.status)

test('a code is good once, and for nothing else', async () => {
  const link = await daemon.link()
  const code = new URL(link).hash.slice(3)
  const post = (body, headers = {}) => status(`${origin}/api/v1/session`, {
    method: 'POST', headers: { 'Content-Type': 'application/json', Origin: origin, ...headers }, body: JSON.stringify(body),
  })
  assert.equal(await post({ code }, { 'Sec-Fetch-Site': 'same-origin' }), 200)
  assert.equal(await post({ code }), 403, 'replayed')
  assert.equal(await post({ code: 'x'.repeat(22) }), 403, 'made up')
  assert.equal(await status(`${origin}/api/v1/view`), 401, 'without a token nothing is shown')
})

test('a page of another name on this port is refused (DNS rebinding)', async () => {
  const window = await chromiumWindow(browser)
  const statuses = []
  window.page.on('response', (response) => statuses.push(response.status()))
  await window.page.goto(origin.replace('localhost', 'evil.test')).catch(() => {})
  assert.deepEqual(statuses.slice(0, 1), [421])
  await window.close()
})

test('a page of another port can neither read, write nor open a socket', async () => {
  const window = await chromiumWindow(browser)
  await settle(window, daemon, 'Ann')
  const other = await window.page.context().newPage()
  await other.goto(`http://localhost:${evil.address().port}/`)
  const outcome = await other.evaluate(async (origin) => {
    const read = await fetch(`${origin}/api/v1/view`).then((response) => response.status, () => 'blocked')
    const write = await fetch(`${origin}/api/v1/commands`, { method: 'POST', body: '{}', mode: 'no-cors' }).then((response) => response.type, () => 'blocked')
    const json = await fetch(`${origin}/api/v1/commands`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' }).then((response) => response.status, () => 'blocked')
    const socket = await new Promise((resolve) => {
      const socket = new WebSocket(`${origin.replace('http', 'ws')}/api/v1/socket`)
      socket.addEventListener('open', () => resolve('open'))
      socket.addEventListener('error', () => resolve('refused'))
    })
    return { read, write, json, socket }
  }, origin)
  assert.deepEqual(outcome, { read: 'blocked', write: 'blocked', json: 'blocked', socket: 'refused' })
  assert.equal((await daemon.json('me')).name, 'Ann', 'nothing was changed')
  await window.close()
})

test('a socket without a token hears nothing and is closed', async () => {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/api/v1/socket`, { origin })
  const heard = []
  socket.on('message', (data) => heard.push(String(data)))
  const closed = new Promise((resolve) => socket.on('close', resolve))
  await new Promise((resolve) => socket.on('open', resolve))
  socket.send(JSON.stringify({ type: 'auth', token: 'made-up' }))
  await closed
  assert.ok(heard.every((message) => JSON.parse(message).type === 'bye'), heard.join())
})

test('another user of this computer gets nowhere', { skip: process.getuid?.() !== 0 && 'needs root to become somebody else' }, async () => {
  const as = (uid, script) => execFileSync(process.execPath, ['-e', script], { uid, gid: uid, encoding: 'utf8', cwd: '/' }).trim()
  const control = as(65534, `require('net').connect(${JSON.stringify(daemon.folder + '/control.sock')}).on('connect', () => { console.log('in'); process.exit() }).on('error', (e) => console.log(e.code))`)
  assert.equal(control, 'EACCES')
  const page = as(65534, `let heard = ''
    const socket = require('net').connect(${new URL(origin).port}, '127.0.0.1', () => socket.write('GET / HTTP/1.1\\r\\nHost: localhost:${new URL(origin).port}\\r\\n\\r\\n'))
    socket.on('data', (data) => { heard += data }).on('error', () => {}).on('close', () => console.log(heard || 'turned away'))`)
  assert.equal(page, 'turned away')
})

test('the page runs under its own policy, and no cookie carries authority', async () => {
  const response = await fetch(origin)
  const policy = response.headers.get('content-security-policy')
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /require-trusted-types-for 'script'/)
  assert.equal(response.headers.get('set-cookie'), null)
  assert.equal(response.headers.get('access-control-allow-origin'), null)
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
})
