// Templates: htm on Preact. Text is always a text node, so nothing a peer says can become markup.

import htm from '../vendor/htm.mjs'
import { h } from '../vendor/preact.mjs'

export const html = htm.bind(h)
