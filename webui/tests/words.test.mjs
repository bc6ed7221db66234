// Every text of the page is in the catalogue, and the catalogue holds nothing else.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { clock, duration, language, t, use } from '../static/app/i18n.js'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const catalogue = JSON.parse(readFileSync(here('../static/locales/en.json'), 'utf8'))
const source = ['../static/app/', '../static/app/views/'].flatMap((folder) => readdirSync(here(folder)).filter((name) => name.endsWith('.js')).map((name) => readFileSync(here(folder + name), 'utf8'))).join('\n')

test('every key that is asked for exists', () => {
  const whole = [...source.matchAll(/\bt\((?:[^()'"]*\? )?'([a-z][\w.-]*)'(?: : '([a-z][\w.-]*)')?[,)]/g)].flatMap((found) => [found[1], found[2]].filter(Boolean))
  assert.ok(whole.length > 80)
  assert.deepEqual(whole.filter((key) => !(key in catalogue)), [])
  const begun = [...source.matchAll(/\bt\([^()]*?'([a-z][\w.]*[.-])' \+/g)].map((found) => found[1])
  assert.deepEqual(begun.filter((start) => !Object.keys(catalogue).some((key) => key.startsWith(start))), [])
})

test('every key of the catalogue is used', () => {
  const stems = [...source.matchAll(/'([a-z][\w]*[.-](?:[\w]+-)?)' \+/g)].map((found) => found[1])
  const unused = Object.keys(catalogue).filter((key) => !source.includes(`'${key}'`) && !stems.some((stem) => key.startsWith(stem)))
  assert.deepEqual(unused, [])
})

test('places are filled, plurals chosen, and a missing key shows itself', () => {
  use('en', catalogue)
  assert.equal(t('call.voice-to', { name: 'Mira' }), 'Voice call Mira')
  assert.equal(t('nav.missed', { n: 1 }), '1 missed call')
  assert.equal(t('nav.missed', { n: 3 }), '3 missed calls')
  assert.equal(t('no.such'), '⟦no.such⟧')
  assert.deepEqual([clock(9_000), clock(768_000), clock(3_723_000)], ['0:09', '12:48', '1:02:03'])
  assert.equal(duration(1_080_000), '18 min')
})

test('the made-up languages are longer, accented, and keep the places', () => {
  use('qps-rtl', catalogue)
  assert.match(t('call.voice-to', { name: 'Mira' }), /Mira/)
  assert.ok(t('ring.decline').length > 'Decline'.length)
  assert.equal(language(), 'en')
})
