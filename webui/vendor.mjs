// Copies the libraries, icons and fonts the page uses from node_modules into static/, so that no bundler is needed.
// `node vendor.mjs` writes; `node vendor.mjs --check` fails when what lies in static/ is not what the lock file names.
// Bare specifiers become relative ones: an import map would have to be an inline script, which the CSP forbids.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))
const check = process.argv.includes('--check')
const modules = here('node_modules/')

/** [file in node_modules, file in static/vendor, specifiers to rewrite] */
const scripts = [
  ['preact/dist/preact.mjs', 'preact.mjs'],
  ['preact/hooks/dist/hooks.mjs', 'hooks.mjs'],
  ['htm/dist/htm.mjs', 'htm.mjs'],
  ['@preact/signals-core/dist/signals-core.mjs', 'signals-core.mjs'],
  ['@preact/signals/dist/signals.mjs', 'signals.mjs'],
]
/** @type {Record<string, string>} */
const specifiers = {
  preact: './preact.mjs', 'preact/hooks': './hooks.mjs', htm: './htm.mjs', '@preact/signals-core': './signals-core.mjs',
}
const copies = [
  ['preact/LICENSE', 'vendor/LICENSE.preact.txt'],
  ['htm/LICENSE', 'vendor/LICENSE.htm.txt'],
  ['@preact/signals/LICENSE', 'vendor/LICENSE.signals.txt'],
  ['lucide-static/LICENSE', 'icons/LICENSE.lucide.txt'],
  ['@fontsource-variable/inter/LICENSE', 'fonts/LICENSE.inter.txt'],
  ['@fontsource-variable/inter/files/inter-latin-wght-normal.woff2', 'fonts/inter-latin.woff2'],
  ['@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2', 'fonts/inter-latin-ext.woff2'],
]

/** Every icon the page names, read from its source: an unused icon never ships, a missing one fails here. */
function iconNames() {
  /** @type {Set<string>} */
  const names = new Set()
  const walk = (/** @type {string} */ folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = folder + '/' + entry.name
      if (entry.isDirectory()) walk(path)
      else if (entry.name.endsWith('.js')) {
        for (const [, name] of readFileSync(path, 'utf8').matchAll(/['"]i-([a-z0-9-]+)['"]/g)) names.add(String(name))
      }
    }
  }
  walk(here('static/app'))
  return [...names].sort()
}

function sprite() {
  const symbols = iconNames().map((name) => {
    const svg = readFileSync(`${modules}lucide-static/icons/${name}.svg`, 'utf8')
    const inner = svg.replace(/<!--[^]*?-->/g, '').replace(/^[^]*?<svg[^>]*>/, '').replace(/<\/svg>[^]*$/, '')
    return `<symbol id="i-${name}" viewBox="0 0 24 24">${inner.replace(/\s*\n\s*/g, '').replaceAll(' />', '/>')}</symbol>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg"><!-- Lucide icons, ISC: LICENSE.lucide.txt; made by vendor.mjs -->\n${symbols.join('\n')}\n</svg>\n`
}

/** @type {[string, Buffer][]} */
const wanted = []
for (const [from, to] of scripts) {
  let text = readFileSync(modules + from, 'utf8').replace(/\n?\/\/# sourceMappingURL=.*\s*$/, '')
  text = text.replace(/(from|import)\s*(["'])([^"']+)\2/g, (all, word, quote, name) => {
    if (name.startsWith('.')) return all
    const target = specifiers[name]
    if (target === undefined) throw new Error(`${from} imports ${name}, which is not vendored`)
    return `${word}${quote}${target}${quote}`
  })
  const version = JSON.parse(readFileSync(modules + packageOf(String(from)) + '/package.json', 'utf8')).version
  wanted.push(['vendor/' + to, Buffer.from(`// @ts-nocheck\n/* ${packageOf(String(from))} ${version}, see LICENSE files; placed here by vendor.mjs */\n${text}\n`)])
}
for (const [from, to] of copies) wanted.push([String(to), readFileSync(modules + from)])
wanted.push(['icons/sprite.svg', Buffer.from(sprite())])

function packageOf(/** @type {string} */ path) {
  const parts = path.split('/')
  return path.startsWith('@') ? parts.slice(0, 2).join('/') : String(parts[0])
}

let differing = 0
for (const [to, content] of wanted) {
  const path = here('static/' + to)
  let same = false
  try {
    same = readFileSync(path).equals(content)
  } catch { /* not there yet */ }
  if (same) continue
  differing += 1
  if (check) console.error(`static/${to} is not what node_modules holds: run node vendor.mjs`)
  else {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
}
if (check && differing > 0) process.exit(1)
console.log(`${wanted.length} files, ${differing} ${check ? 'differing' : 'written'}`)
