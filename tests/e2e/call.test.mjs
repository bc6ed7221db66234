// The main promise: two people find each other, ring, answer, talk, mute, hold, change device, hang up. Ann uses
// Chromium, Bob Firefox; then both Chromium, by keyboard alone.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromiumWindow, firefoxWindow, launchChromium, settle } from './lib/browsers.mjs'
import { startDaemon, until } from './lib/daemon.mjs'
import { isHeard, isSilent } from './lib/sound.mjs'

let browser
before(async () => { browser = await launchChromium() })
after(async () => { await browser.close() })

async function two(bobsWindow) {
  const [ann, bob] = await Promise.all([startDaemon({ mic: 'tone:440' }), startDaemon({ mic: 'tone:600' })])
  const [annSees, bobSees] = await Promise.all([chromiumWindow(browser), bobsWindow()])
  return { ann, bob, annSees, bobSees, end: async () => {
    await Promise.all([annSees.close(), bobSees.close()])
    const stopped = await Promise.all([ann.stop(), bob.stop()])
    assert.deepEqual(stopped.map((each) => each.code), [0, 0])
  } }
}

test('two people talk, by clicks, one in Chromium and one in Firefox', async () => {
  const { ann, bob, annSees, bobSees, end } = await two(firefoxWindow)
  await annSees.goto(await ann.link())
  await annSees.sees('h1', 'What should people call you')
  await annSees.picture('1-first-run')
  await settle(annSees, ann, 'Ann')
  await settle(bobSees, bob, 'Bob')
  const { card } = await bob.json('me')

  // The card is pasted into the search field; the person it names is added and shown.
  await annSees.fill('#search', card)
  await annSees.click('button', 'Add the person of this card')
  await annSees.click('dialog button.prim', 'Add')
  await annSees.sees('.chx h2', 'Bob')
  // Whoever holds the card was given it by Bob: Ann is among his contacts, by herself.
  await bobSees.sees('.row .rn', 'Ann')
  await annSees.sees('.chx p', 'Online')
  await annSees.picture('2-conversation')

  await annSees.click('button', 'Voice call Bob')
  await bobSees.sees('[role=alertdialog] h2', 'Ann')
  await annSees.sees('.phase', 'Ringing')
  await Promise.all([annSees.picture('3-ringing'), bobSees.picture('3-incoming')])
  await bobSees.click('[role=alertdialog] button', 'Answer')
  await Promise.all([annSees.sees('.ttl time'), bobSees.sees('.ttl time')])
  await annSees.sees('.lock', 'Direct')

  await until('Ann hears Bob', () => isHeard(ann.recording, 600))
  await until('Bob hears Ann', () => isHeard(bob.recording, 440))
  await annSees.sees('.tile.speaking')
  await Promise.all([annSees.picture('4-active'), bobSees.picture('4-active')])

  const words = async (window) => {
    await window.click('.brr button', 'Encryption')
    await window.sees('.words b')
    const found = await window.text('.words')
    await window.click('.pop button', 'Close')
    return found
  }
  assert.equal(await words(annSees), await words(bobSees), 'both see the same four words')

  await annSees.click('button', 'Mute microphone')
  await annSees.sees('.split.off')
  await until('Bob hears nothing', () => isSilent(bob.recording))
  assert.ok(isHeard(ann.recording, 600), 'Ann still hears Bob')
  await annSees.sees('.caption', "You're muted")
  await annSees.picture('5-muted')
  await annSees.click('button', 'Mute microphone')
  await until('Bob hears Ann again', () => isHeard(bob.recording, 440))

  await bobSees.click('.dock button', 'Hold')
  await bobSees.sees('.phase', 'On hold')
  await annSees.sees('.phase', 'put you on hold')
  await until('both hear nothing', () => isSilent(bob.recording) && isSilent(ann.recording))
  await annSees.picture('6-held')
  await bobSees.click('.dock button', 'Hold')
  await until('both hear again', () => isHeard(bob.recording, 440) && isHeard(ann.recording, 600))

  // Another microphone in the middle of the call.
  await annSees.click('button', 'Microphone and speaker')
  await annSees.sees('.pop select')
  await annSees.picture('7-devices')
  await annSees.press('Escape')
  const id = 'tone:1000'
  await annSees.eval(async (id) => {
    const { send } = await import('/app/store.js')
    send({ do: 'choose_device', role: 'microphone', id })
  }, id)
  await until('Bob hears the new microphone', () => isHeard(bob.recording, 1000))

  // A closed tab ends no call.
  await bobSees.goto('about:blank')
  await new Promise((resolve) => setTimeout(resolve, 1500))
  assert.ok(isHeard(ann.recording, 600, 10), 'Bob is still heard')
  await bobSees.goto(await bob.link())
  await bobSees.sees('.ttl time')

  await annSees.click('button', 'Leave call')
  await bobSees.sees('.outcome', 'Ann')
  await bobSees.picture('8-ended')
  await bobSees.click('.over button', 'Close')
  await Promise.all([annSees, bobSees].map((window) => window.sees('.rt', 'Voice call')))
  await annSees.picture('9-log')
  assert.deepEqual([annSees.errors, bobSees.errors], [[], []])
  await end()
})

test('the same by keyboard alone, and a decline with words', async () => {
  const { ann, bob, annSees, bobSees, end } = await two(() => chromiumWindow(browser, { colorScheme: 'dark' }))
  await settle(annSees, ann, 'Ann')
  await settle(bobSees, bob, 'Bob')
  await ann.json('contacts', 'add', (await bob.json('me')).card)
  await annSees.sees('.row .rn', 'Bob')

  /** Tab until the focus is on something with that label. */
  const tabTo = async (window, label) => {
    for (let n = 0; n < 60; n += 1) {
      const here = await window.eval(() => document.activeElement === document.body ? '' : document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '')
      if (here.includes(label)) return
      await window.press('Tab')
    }
    throw new Error(`Tab does not reach ${label}`)
  }
  await tabTo(annSees, 'Bob')
  await annSees.press('Enter')
  await annSees.sees('.chx h2', 'Bob')
  await annSees.press('Alt+Shift+A')
  await bobSees.sees('[role=alertdialog]')
  await tabTo(bobSees, 'Message')
  await bobSees.press('Enter')
  await tabTo(bobSees, "I can't talk now")
  await bobSees.press('Enter')
  await annSees.sees('.outcome', "I can't talk now")
  await tabTo(annSees, 'Call again')
  await annSees.press('Enter')
  await bobSees.sees('[role=alertdialog]')
  await bobSees.press('Alt+Shift+Enter')
  await Promise.all([annSees.sees('.ttl time'), bobSees.sees('.ttl time')])
  await until('Bob hears Ann', () => isHeard(bob.recording, 440))
  await annSees.press('m')
  await annSees.sees('.split.off')
  await annSees.press('m')
  await annSees.gone('.split.off')
  await tabTo(annSees, 'Mute microphone')
  // Past the menus beside the microphone and the camera, and past sharing.
  for (let n = 0; n < 5; n += 1) await annSees.press('ArrowRight')
  await annSees.press('Enter')
  await annSees.sees('.phase', 'On hold')
  await annSees.press('Enter')
  await annSees.gone('.phase', 'On hold')
  await annSees.press('End')
  await annSees.press('Enter')
  await bobSees.sees('.outcome')
  await bobSees.picture('keyboard-ended-dark')
  assert.deepEqual([annSees.errors, bobSees.errors], [[], []])
  await end()
})
