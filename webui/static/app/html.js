// Templates: htm on Preact. Text is always a text node, so nothing a peer says can become markup.

import htm from '../vendor/htm.mjs'
import { h } from '../vendor/preact.mjs'

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = /** @type {any} */ (htm).bind(h)
