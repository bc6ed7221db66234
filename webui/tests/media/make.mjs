// Draws the clips that stand in for live video in pictures of the page: `node tests/media/make.mjs` (Chromium, ffmpeg).
// Painted portraits and a painted slide, no photographs of real people. Two seconds each, VP8 in IVF.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launch } from '../browser/chromium.mjs'
import { portrait } from './portrait.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const FRAMES = 30
const slide = `<div style="position:absolute;inset:0;background:#fbfaf7;color:#1a2023;font:400 15px Inter,system-ui,sans-serif;padding:44px 64px">
<div style="display:flex;justify-content:space-between;align-items:baseline;border-bottom:1px solid #e4e1da;padding-bottom:16px"><b style="font-size:30px;letter-spacing:-.02em">Onboarding, second pass</b><span style="color:#697276">Board, page 3</span></div>
<div style="display:grid;grid-template-columns:1fr 1fr 1fr;gap:28px;margin-top:70px">${[['Say hello', 'Pick a name people will recognise.', 'linear-gradient(120deg,#d7ede5,#f3e3c8)'], ['Check your sound', 'Speak: the bar should move.', 'repeating-linear-gradient(90deg,#0b7a63 0 4px,#e8f3ef 4px 11px)'], ['Share your card', 'Whoever has it can ring you.', 'linear-gradient(120deg,#e6e0f3,#d7e6ed)']].map(([title, text, fill]) => `
<div style="background:#fff;border:1px solid #e4e1da;border-radius:18px;padding:20px"><div style="height:190px;border-radius:10px;background:${fill}"></div><h3 style="margin:16px 0 6px;font-size:18px">${title}</h3><p style="margin:0 0 18px;color:#565e62">${text}</p><div style="height:34px;width:70%;border-radius:17px;background:#0b7a63"></div></div>`).join('')}</div></div>`

const browser = await launch()
const page = await browser.newPage()
const folder = mkdtempSync(join(tmpdir(), 'ahoy-clips-'))
for (const [name, width, height, draw] of [
  ['mira', 960, 600, (n) => face(portrait(0, 'a', n % 10 < 5), n)],
  ['ann', 640, 400, (n) => face(portrait(5, 'b', false), n + 7)],
  ['slide', 1280, 720, (n) => slide + `<div style="position:absolute;left:${690 + 3 * Math.sin(n / 3)}px;top:${430 + 2 * Math.cos(n / 3)}px;background:#c96f4a;color:#fff;font:600 13px Inter,system-ui,sans-serif;padding:3px 11px;border-radius:2px 10px 10px 10px">Mira</div>`],
]) {
  await page.setViewportSize({ width, height })
  for (let n = 0; n < FRAMES; n += 1) {
    await page.setContent(`<body style="margin:0;overflow:hidden">${draw(n)}</body>`)
    writeFileSync(join(folder, `${String(n).padStart(3, '0')}.png`), await page.screenshot())
  }
  execFileSync('ffmpeg', ['-y', '-loglevel', 'error', '-framerate', '15', '-i', join(folder, '%03d.png'), '-c:v', 'libvpx', '-b:v', '400k', '-g', '999', '-pix_fmt', 'yuv420p', '-auto-alt-ref', '0', '-lag-in-frames', '0', join(here, name + '.ivf')])
}
rmSync(folder, { recursive: true })
await browser.close()

/** A portrait that sways a little. @param {string} svg @param {number} n */
function face(svg, n) {
  const at = (2 * Math.PI * n) / FRAMES
  return `<div style="position:absolute;inset:-14px;transform:translate(${6 * Math.sin(at)}px,${3 * Math.sin(2 * at)}px)">${svg.replace('<svg class="vid"', '<svg style="width:100%;height:100%"')}</div>`
}
