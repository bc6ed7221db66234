// Words and numbers in the person's language: a JSON catalogue, Intl for everything that has rules, no library.

/** @typedef {Record<string, string|Partial<Record<Intl.LDMLPluralRule, string>>>} Catalogue */

/** @type {{language: string, catalogue: Catalogue, pseudo: boolean, plural: Intl.PluralRules}} */
const now = { language: 'en', catalogue: {}, pseudo: false, plural: new Intl.PluralRules('en') }

/** Languages that have a catalogue under locales/. */
export const LANGUAGES = ['en']
/** Made-up languages for tests: accented and longer; the second one runs from right to left. */
export const PSEUDO = ['qps', 'qps-rtl']

/**
 * Takes a catalogue into use.
 * @param {string} language a BCP 47 tag, or one of PSEUDO
 * @param {Catalogue} catalogue
 */
export function use(language, catalogue) {
  const pseudo = PSEUDO.includes(language)
  now.language = pseudo ? 'en' : language
  now.catalogue = catalogue
  now.pseudo = pseudo
  now.plural = new Intl.PluralRules(now.language)
}

/** The tag dates and numbers are written for. */
export function language() {
  return now.language
}

/**
 * The text of a key with its {places} filled. `n` chooses the plural form. A missing key shows itself, so that a test sees it.
 * @param {string} key
 * @param {Record<string, string|number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const entry = now.catalogue[key]
  const text = typeof entry === 'object' ? entry[now.plural.select(Number(values.n))] ?? entry.other : entry
  if (text === undefined) return `⟦${key}⟧`
  const parts = text.split(/(\{\w+\})/)
  return parts.map((part) => {
    if (!/^\{\w+\}$/.test(part)) return now.pseudo ? accented(part) : part
    const value = values[part.slice(1, -1)]
    return typeof value === 'number' ? number(value) : value ?? part
  }).join('')
}

/** Whether the catalogue has a key. @param {string} key */
export function has(key) {
  return key in now.catalogue
}

const LETTERS = /** @type {Record<string, string>} */ ({
  a: 'á', b: 'ƀ', c: 'ç', d: 'đ', e: 'é', g: 'ğ', h: 'ĥ', i: 'í', k: 'ķ', l: 'ľ', n: 'ñ', o: 'ó', r: 'ř', s: 'š', t: 'ţ', u: 'ú', w: 'ŵ', y: 'ý', z: 'ž',
  A: 'Á', B: 'Ɓ', C: 'Ç', D: 'Đ', E: 'É', H: 'Ĥ', I: 'Í', L: 'Ĺ', M: 'Ṁ', N: 'Ñ', O: 'Ó', P: 'Ṕ', R: 'Ŕ', S: 'Š', T: 'Ţ', U: 'Ú', V: 'Ṽ', W: 'Ŵ', Y: 'Ý',
})

/** @param {string} text */
function accented(text) {
  if (!/[A-Za-z]/.test(text)) return text
  const changed = text.replace(/[A-Za-z]/g, (letter) => LETTERS[letter] ?? letter)
  // A third longer, as German or Finnish is; the middle dot marks what came through the catalogue.
  return changed + '·'.repeat(Math.max(1, Math.round(text.trim().length * 0.3)))
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options) {
  return new Intl.NumberFormat(now.language, options).format(value)
}

/** Hours and minutes of a moment. @param {number} unix_ms */
export function time(unix_ms) {
  const cycle = hourCycle()
  return new Intl.DateTimeFormat(now.language, { hour: cycle === 'h23' ? '2-digit' : 'numeric', minute: '2-digit', hourCycle: cycle }).format(unix_ms)
}

/** What this person's system uses: an English page on a German machine still shows 14:30. */
function hourCycle() {
  const cycle = new Intl.DateTimeFormat(undefined, { hour: 'numeric' }).resolvedOptions().hourCycle
  return cycle === 'h11' || cycle === 'h12' ? cycle : 'h23'
}

/** @param {number} unix_ms */
export function fullDate(unix_ms) {
  return new Intl.DateTimeFormat(now.language, { dateStyle: 'full', timeStyle: 'short' }).format(unix_ms)
}

/** Whole days from a moment to another, by the calendar. @param {number} from_ms @param {number} to_ms */
export function daysBetween(from_ms, to_ms) {
  const midnight = (/** @type {number} */ at) => {
    const date = new Date(at)
    return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate())
  }
  return Math.round((midnight(to_ms) - midnight(from_ms)) / 86_400_000)
}

/** "Today", "Yesterday", "Monday", "3 March". @param {number} unix_ms @param {number} now_ms */
export function day(unix_ms, now_ms) {
  const days = daysBetween(unix_ms, now_ms)
  if (days === 0) return t('day.today')
  if (days === 1) return t('day.yesterday')
  const options = /** @type {Intl.DateTimeFormatOptions} */ (days > 1 && days < 7 ? { weekday: 'long' } : days < 300 ? { day: 'numeric', month: 'long' } : { dateStyle: 'medium' })
  return new Intl.DateTimeFormat(now.language, options).format(unix_ms)
}

/** For list rows: the time today, else the day, short. @param {number} unix_ms @param {number} now_ms */
export function shortWhen(unix_ms, now_ms) {
  const days = daysBetween(unix_ms, now_ms)
  if (days === 0) return time(unix_ms)
  if (days === 1) return t('day.yesterday')
  return new Intl.DateTimeFormat(now.language, days < 7 ? { weekday: 'short' } : { day: 'numeric', month: 'short' }).format(unix_ms)
}

/** A running clock: 0:09, 12:48, 1:02:03. @param {number} ms */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0')
  const minutes = Math.floor(seconds / 60) % 60
  const hours = Math.floor(seconds / 3600)
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`
}

/** How long something took, in the largest fitting unit: "40 sec", "18 min", "1 hr 5 min". @param {number} ms */
export function duration(ms) {
  const unit = (/** @type {number} */ n, /** @type {string} */ name) => number(n, { style: 'unit', unit: name, unitDisplay: 'short' })
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return unit(seconds, 'second')
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return unit(minutes, 'minute')
  const rest = minutes % 60
  return rest === 0 ? unit(minutes / 60, 'hour') : `${unit(Math.floor(minutes / 60), 'hour')} ${unit(rest, 'minute')}`
}

/** Milliseconds as "2 ms". @param {number} ms */
export function millis(ms) {
  return number(ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms), { style: 'unit', unit: 'millisecond', unitDisplay: 'short' })
}

/** How long ago, as "2 days ago". @param {number} unix_ms @param {number} now_ms */
export function ago(unix_ms, now_ms) {
  const seconds = Math.round((now_ms - unix_ms) / 1000)
  if (seconds < 60) return t('ago.now')
  const format = new Intl.RelativeTimeFormat(now.language, { numeric: 'auto' })
  if (seconds < 3600) return format.format(-Math.round(seconds / 60), 'minute')
  if (seconds < 86_400) return format.format(-Math.round(seconds / 3600), 'hour')
  return format.format(-Math.round(seconds / 86_400), 'day')
}
