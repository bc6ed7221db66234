// Both browsers behind the few words the tests speak: open, click, type, read, look.
import { chromium } from 'playwright-core'
import puppeteer from 'puppeteer-core'
import { mkdirSync } from 'node:fs'
import { after } from 'node:test'
import { until } from './daemon.mjs'

export const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
const SHOTS = process.env.SHOTS

// A browser that a failed test left open would keep its file from ending.
const open = new Set()
after(() => Promise.all([...open].map((browser) => browser.close().catch(() => {}))))

function closedAtEnd(browser) {
  open.add(browser)
  return browser
}

export const launchChromium = async (args = []) => closedAtEnd(await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...FLAGS, ...args] }))

/** A window of Chromium. */
export async function chromiumWindow(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(String(error)))
  return window('chromium', {
    errors,
    page,
    goto: (url) => page.goto(url),
    eval: (body, ...args) => page.evaluate(body, ...args),
    press: (key) => page.keyboard.press(key),
    type: (text) => page.keyboard.type(text),
    shot: (path) => page.screenshot({ path }),
    close: () => context.close(),
  })
}

/** A window of Firefox, over WebDriver BiDi. */
export async function firefoxWindow() {
  const browser = closedAtEnd(await puppeteer.launch({
    browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true,
    defaultViewport: { width: 1280, height: 800 },
    extraPrefsFirefox: { 'app.update.enabled': false, 'datareporting.policy.dataSubmissionEnabled': false, 'network.captive-portal-service.enabled': false },
  }))
  const page = await browser.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(String(error)))
  return window('firefox', {
    errors,
    page,
    goto: (url) => page.goto(url),
    eval: (body, ...args) => page.evaluate(body, ...args),
    press: async (chord) => {
      const keys = chord.split('+')
      for (const key of keys) await page.keyboard.down(key)
      for (const key of keys.reverse()) await page.keyboard.up(key)
    },
    type: (text) => page.keyboard.type(text),
    shot: (path) => page.screenshot({ path }),
    close: () => {
      open.delete(browser)
      return browser.close()
    },
  })
}

function window(name, driver) {
  const find = (selector, text) => driver.eval(([selector, text]) => {
    const found = [...document.querySelectorAll(selector)].find((each) => each.checkVisibility() && (text === null || (each.getAttribute('aria-label') ?? each.textContent).includes(text)))
    return found !== undefined
  }, [selector, text ?? null])
  return {
    ...driver, name,
    sees: (selector, text) => until(`${name} sees ${selector} ${text ?? ''}`, () => find(selector, text)),
    gone: (selector, text) => until(`${name} no longer sees ${selector} ${text ?? ''}`, async () => !(await find(selector, text))),
    /** Clicks what a person would: visible, with that label. */
    async click(selector, text) {
      await until(`${name} can click ${selector} ${text ?? ''}`, () => find(selector, text))
      await driver.eval(([selector, text]) => {
        const found = [...document.querySelectorAll(selector)].find((each) => each.checkVisibility() && (text === null || (each.getAttribute('aria-label') ?? each.textContent).includes(text)))
        found.click()
      }, [selector, text ?? null])
    },
    async fill(selector, value) {
      await until(`${name} can fill ${selector}`, () => find(selector))
      await driver.eval((selector) => {
        const field = document.querySelector(selector)
        field.focus()
        field.select?.()
      }, selector)
      await driver.type(value)
      const typed = await driver.eval((selector) => document.querySelector(selector)?.value, selector)
      if (typed !== value) throw new Error(`${name}: ${selector} holds ${JSON.stringify(typed)}, not ${JSON.stringify(value)}`)
    },
    text: (selector) => driver.eval((selector) => document.querySelector(selector)?.textContent ?? '', selector),
    async picture(title) {
      if (!SHOTS) return
      mkdirSync(SHOTS, { recursive: true })
      await driver.shot(`${SHOTS}/${title}-${name}.png`)
    },
  }
}

/** Signs a window in and goes through the first run. */
export async function settle(window, daemon, name) {
  await window.goto(await daemon.link())
  await window.fill('#first-name', name)
  await window.click('button', 'Continue')
  await window.sees('h1', 'Check your sound')
  await window.click('button', 'Continue')
  await window.sees('h1', 'Your card')
  await window.click('button', 'Start using Ahoy')
  await window.sees('h2', 'People')
}
