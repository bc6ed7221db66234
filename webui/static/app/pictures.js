// What a person does with pictures in a call: camera on and off, sharing, answering with one. Used by buttons and keys alike.

import { captured, begin, end } from './media/capture.js'
import { t } from './i18n.js'
import { current, dispatch, send } from './store.js'

/**
 * @typedef {import('./protocol.js').Call} Call
 * @typedef {import('./protocol.js').View} View
 * @typedef {'camera'|'screen'} Track
 */

/** Whether this person shows a picture in a call. @param {View} view @param {Call} call @param {Track} track */
export function shows(view, call, track) {
  return call.tracks.some((each) => each.track === track && each.peer_id === view.me.peer_id)
}

/** Switches the camera. @param {Call} call */
export async function toggleCamera(call) {
  const view = current().view
  if (!view) return
  if (shows(view, call, 'camera')) stop(call, 'camera')
  else await show(call, 'camera', view.devices.camera.id)
}

/**
 * Shows a picture from a source.
 * @param {Call} call @param {Track} track @param {string} source an id of the list of devices
 */
export async function show(call, track, source) {
  if (source === 'browser') {
    const why = await begin(track, () => send({ do: 'picture', call: call.id, track, on: false }))
    // Somebody who closes the browser's own dialog knows that they did.
    if (why === 'refused' && track === 'screen') return
    if (why) return say(track, why)
  } else if (captured.value[track]) end(track)
  send({ do: 'picture', call: call.id, track, on: true, source })
}

/** @param {Call} call @param {Track} track */
export function stop(call, track) {
  send({ do: 'picture', call: call.id, track, on: false })
  end(track)
}

/** Another camera, in a call or not. @param {Call|null} call @param {string} id */
export async function chooseCamera(call, id) {
  const view = current().view
  if (call && view && shows(view, call, 'camera')) return show(call, 'camera', id)
  send({ do: 'choose_device', role: 'camera', id })
}

/** Answers, with the camera or without. @param {Call} call @param {'voice'|'video'} media */
export async function answer(call, media) {
  send({ do: 'answer', call: call.id, media })
  if (media === 'video' && current().view?.devices.camera.id === 'browser') await show(call, 'camera', 'browser')
}

/** Calls somebody with the camera on. @param {string} who */
export function dialVideo(who) {
  send({ do: 'dial', who, media: 'video' })
}

/** Nothing is captured for calls that are over. @param {View|null} view */
export function tidyCaptures(view) {
  for (const track of /** @type {Track[]} */ (['camera', 'screen'])) {
    const wanted = view?.calls.some((call) => call.state !== 'ended') ?? true
    if (captured.value[track] && !wanted) end(track)
  }
}

/** @param {Track} track @param {string} why */
function say(track, why) {
  dispatch({
    type: 'toast',
    toast: { id: 'capture-' + track, kind: 'warn', text: t('capture.' + track + '.' + why), works: t('capture.works'), do: t('capture.do.' + why) },
  })
}
