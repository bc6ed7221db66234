// Every state of the page worth looking at: a golden view, an address, and what to press before looking.
import { golden } from '../mock-server.mjs'

const loud = (/** @type {any} */ view) => ({
  microphone: -22, speaker: -25, peers: Object.fromEntries(view.contacts.map((/** @type {any} */ each) => [each.peer_id, -20])), speaking_while_muted: false, microphone_silent_ms: 0,
})
const mira = (/** @type {any} */ view) => view.contacts.find((/** @type {any} */ each) => each.name.startsWith('Mira')).peer_id

/** @typedef {{name: string, view: string, hash?: (view: any) => string, levels?: (view: any) => any, press?: string[], click?: string}} Scene */

/** @type {Scene[]} */
export const SCENES = [
  { name: 'home', view: 'home', hash: (view) => '#/people/' + mira(view) },
  { name: 'home-empty', view: 'home' },
  { name: 'calls', view: 'home', hash: () => '#/calls' },
  { name: 'details', view: 'home', hash: (view) => '#/people/' + mira(view), click: 'button[aria-expanded]' },
  { name: 'echo', view: 'home', hash: (view) => '#/people/' + view.contacts.find((/** @type {any} */ c) => c.kind === 'echo').peer_id },
  { name: 'echo-test', view: 'echo-test', levels: loud },
  { name: 'echo-test-ended', view: 'echo-test-ended' },
  { name: 'incoming', view: 'incoming', hash: (view) => '#/people/' + mira(view) },
  { name: 'incoming-stranger', view: 'incoming-stranger' },
  { name: 'incoming-second', view: 'incoming-second', levels: loud },
  { name: 'calling', view: 'outgoing-calling' },
  { name: 'ringing', view: 'ringing' },
  { name: 'connecting', view: 'connecting' },
  { name: 'active', view: 'active', levels: loud },
  { name: 'active-muted', view: 'active-muted', levels: (view) => ({ ...loud(view), speaking_while_muted: true }) },
  { name: 'active-poor', view: 'active-poor' },
  { name: 'active-devices', view: 'active', levels: loud, click: '.caret' },
  { name: 'active-security', view: 'active', click: '.lock' },
  { name: 'recording', view: 'recording' },
  { name: 'recorded', view: 'recorded' },
  { name: 'reconnecting', view: 'reconnecting' },
  { name: 'held', view: 'held' },
  { name: 'held-remote', view: 'held-remote' },
  { name: 'interrupted', view: 'interrupted' },
  { name: 'ended-declined', view: 'ended-declined' },
  { name: 'ended-offline', view: 'ended-offline' },
  { name: 'no-sound', view: 'no-sound', hash: () => '#/settings/devices' },
  { name: 'device-lost', view: 'device-lost' },
  { name: 'incoming-video', view: 'incoming-video', hash: (view) => '#/people/' + mira(view) },
  { name: 'calling-video', view: 'calling-video' },
  { name: 'video', view: 'video', levels: loud },
  { name: 'video-theirs', view: 'video-theirs', levels: loud },
  { name: 'video-mine', view: 'video-mine' },
  { name: 'video-grid', view: 'video', levels: loud, press: ['l'] },
  { name: 'video-share', view: 'video-share', levels: loud },
  { name: 'video-presenting', view: 'video-presenting', levels: loud },
  { name: 'video-both-share', view: 'video-both-share' },
  { name: 'video-poor', view: 'video-poor', levels: loud },
  { name: 'video-reconnecting', view: 'video-reconnecting' },
  { name: 'camera-busy', view: 'camera-busy' },
  { name: 'camera-menu', view: 'video', click: '[data-opens=camera]' },
  { name: 'share-menu', view: 'video', press: ['s'] },
  { name: 'layout-menu', view: 'video-share', click: '.tr [data-opens=layout]' },
  { name: 'more-menu', view: 'video', click: '[data-opens=more]' },
  { name: 'video-stats', view: 'video', click: '.brr [data-opens=stats]' },
  { name: 'devices-settings', view: 'home', hash: () => '#/settings/devices' },
  { name: 'first-run', view: 'first-run' },
  ...['profile', 'calls', 'appearance', 'network', 'browsers', 'about'].map((part) => ({ name: 'settings-' + part, view: 'home', hash: () => '#/settings/' + part })),
  { name: 'dialog-card', view: 'home', click: '.me' },
  { name: 'dialog-add', view: 'home', click: '.sh .icb' },
  { name: 'dialog-new-call', view: 'home', click: '.cta' },
  { name: 'keys', view: 'home', press: ['?'] },
]

/**
 * Opens a scene on a page.
 * @param {import('playwright-core').Page} page
 * @param {Awaited<ReturnType<typeof import('../mock-server.mjs').mockDaemon>>} daemon
 * @param {Scene} scene
 */
export async function open(page, daemon, scene) {
  const view = golden(scene.view)
  daemon.show(view, scene.levels?.(view))
  await page.goto('about:blank')
  await page.goto(daemon.url + (scene.hash?.(view) ?? ''))
  await page.waitForSelector('#app > *:not(.center), .first')
  await page.evaluate(() => document.fonts.ready)
  for (const key of scene.press ?? []) await page.keyboard.press(key)
  // What narrow windows do not show can't be pressed there.
  const target = page.locator(scene.click ?? 'body').first()
  if (scene.click && await target.isVisible()) await target.click()
  // Pictures that are on are drawn before anybody looks.
  const pictures = view.calls.some((/** @type {any} */ call) => call.tracks.length > 0 && call.state !== 'ended')
  if (pictures) await page.waitForSelector('.tile.live, .share-pic .pic', { timeout: 5000 })
  await page.waitForTimeout(pictures ? 500 : 120)
}
