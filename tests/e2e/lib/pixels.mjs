// Reads what a person would see: the pixels of a tile's canvas, the number that the test card carries, its four colours.

/** Draws the canvas of a tile once more where it can be read; runs inside the page. */
function look(selector) {
  const canvas = document.querySelector(selector)
  if (!canvas || canvas.width < 32) return null
  const copy = document.createElement('canvas')
  copy.width = canvas.width
  copy.height = canvas.height
  const context = copy.getContext('2d', { willReadFrequently: true })
  context.drawImage(canvas, 0, 0)
  const at = (x, y) => [...context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data].slice(0, 3)
  const cell = copy.width / 20
  const cells = Array.from({ length: 20 }, (_, n) => at((n + 0.5) * cell, cell / 2)[1])
  const fields = Array.from({ length: 4 }, (_, n) => at(((n + 0.5) * copy.width) / 4, copy.height * 0.9))
  return { width: copy.width, height: copy.height, cells, fields }
}

/** What a tile shows of the test card: its number, or null while there is none. @param {any} window @param {string} selector */
export async function card(window, selector) {
  const seen = await window.eval(look, selector)
  if (!seen) return null
  const [white, black, ...rest] = seen.cells
  if (white - black < 80) return null
  const bits = rest.slice(0, 16).map((luma) => (luma > (white + black) / 2 ? 1 : 0))
  let number = 0
  let last = 0
  for (const bit of bits.slice(0, 12)) {
    last ^= bit
    number = number * 2 + last
  }
  return { number, width: seen.width, height: seen.height, colours: seen.fields.map(colour) }
}

/** @param {number[]} rgb */
function colour([r, g, b]) {
  const high = [r, g, b].map((value) => value > 140)
  const names = { 'true,false,false': 'red', 'false,true,false': 'green', 'false,false,true': 'blue', 'true,true,false': 'yellow' }
  return names[String(high)] ?? `rgb ${r} ${g} ${b}`
}
