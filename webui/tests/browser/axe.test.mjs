// Every scene passes axe, in both themes, wide and narrow, and nothing runs over the edge.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { mockDaemon } from '../mock-server.mjs'
import { launch } from './chromium.mjs'
import { SCENES, open } from './scenes.mjs'

const axe = readFileSync(fileURLToPath(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8')
/** @type {Awaited<ReturnType<typeof mockDaemon>>} */
let daemon
/** @type {import('playwright-core').Browser} */
let browser

before(async () => {
  daemon = await mockDaemon()
  browser = await launch()
})
after(async () => {
  await browser.close()
  daemon.close()
})

for (const theme of /** @type {const} */ (['light', 'dark'])) {
  for (const [size, viewport] of Object.entries({ wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } })) {
    test(`axe finds nothing: ${theme}, ${size}`, async () => {
      const context = await browser.newContext({ viewport, colorScheme: theme, reducedMotion: 'reduce' })
      await context.addInitScript(() => {
        if (location.protocol !== 'http:') return
        localStorage.setItem('ahoy.token', 'mock')
        // Each scene begins as a new page does.
        localStorage.removeItem('ahoy.stage')
      })
      const page = await context.newPage()
      /** @type {string[]} */
      const errors = []
      page.on('pageerror', (error) => errors.push(String(error)))
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
      /** @type {string[]} */
      const found = []
      for (const scene of SCENES) {
        await open(page, daemon, scene)
        // Through the debugger, as the page's own policy lets no foreign script in.
        const session = await context.newCDPSession(page)
        await session.send('Runtime.evaluate', { expression: axe })
        const result = await session.send('Runtime.evaluate', {
          expression: "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then((r) => JSON.stringify(r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).join(', '))))",
          awaitPromise: true, returnByValue: true,
        })
        await session.detach()
        for (const violation of JSON.parse(result.result.value ?? '["axe did not run"]')) found.push(`${scene.name}: ${violation}`)
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        if (over > 0) found.push(`${scene.name}: ${over} px too wide`)
      }
      await context.close()
      assert.deepEqual(found, [])
      assert.deepEqual(errors, [])
    })
  }
}
