// Pictures of every scene in both themes, wide and narrow: `node tests/browser/shots.mjs DIR [scene…]`.
import { mkdirSync } from 'node:fs'
import { mockDaemon } from '../mock-server.mjs'
import { launch } from './chromium.mjs'
import { SCENES, open } from './scenes.mjs'

const [dir = 'shots', ...only] = process.argv.slice(2)
mkdirSync(dir, { recursive: true })
const daemon = await mockDaemon()
const browser = await launch()
for (const [size, viewport] of Object.entries({ wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } })) {
  for (const theme of /** @type {const} */ (['light', 'dark'])) {
    const context = await browser.newContext({ viewport, colorScheme: theme, reducedMotion: 'reduce' })
    await context.addInitScript(() => {
      if (location.protocol !== 'http:') return
      localStorage.setItem('ahoy.token', 'mock')
      // Each scene begins as a new page does.
      localStorage.removeItem('ahoy.stage')
    })
    const page = await context.newPage()
    page.on('console', (message) => message.type() === 'error' && console.error(message.text()))
    page.on('pageerror', (error) => console.error(String(error)))
    for (const scene of SCENES.filter((each) => only.length === 0 || only.includes(each.name))) {
      try {
        await open(page, daemon, scene)
        await page.screenshot({ path: `${dir}/${scene.name}-${size}-${theme}.png` })
      } catch (error) {
        console.error(scene.name, String(error).split('\n')[0])
      }
    }
    await context.close()
  }
}
await browser.close()
daemon.close()
