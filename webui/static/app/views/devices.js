// Choosing a microphone and a speaker, in the settings, in the first run and in a call: the same everywhere.

import { html } from '../html.js'
import { t } from '../i18n.js'
import { cannot } from '../media/tiles.js'
import { levels, send } from '../store.js'
import { Icon, Meter } from './parts.js'

/**
 * @typedef {import('../protocol.js').Devices} Devices
 * @typedef {import('../protocol.js').Device} Device
 * @typedef {import('../protocol.js').Chosen} Chosen
 */

/** @param {{devices: Devices, inCall?: boolean}} props */
export function DevicePicker({ devices, inCall }) {
  return html`<div class="devices">
    <${Picker} role="microphone" icon="i-mic" list=${devices.microphones} chosen=${devices.microphone} />
    <div class="meter-row"><span>${t('devices.level')}</span><${Meter} of="microphone" label=${t('devices.level')} /></div>
    ${silent() && html`<p class="warn" role="status">${t('devices.silent')}</p>`}
    <${Picker} role="speaker" icon="i-volume-2" list=${devices.speakers} chosen=${devices.speaker} />
    <div class="meter-row">${inCall ? html`<span>${t('devices.heard')}</span><${Meter} of="speaker" label=${t('devices.heard')} />`
      : html`<span class="grow"></span>`}<button type="button" class="btn" onClick=${() => send({ do: 'test_sound' })}><${Icon} name="i-volume-2" small />${t('devices.test')}</button></div>
  </div>`
}

/** Cameras: those of this computer, and the browser's own. @param {{devices: Devices, onChoose: (id: string) => void}} props */
export function CameraPicker({ devices, onChoose }) {
  const { cameras, camera } = devices
  const list = cannot.value.encode ? cameras : [...cameras, { id: 'browser', name: t('camera.browser') }]
  const known = list.some((device) => device.id === camera.id)
  return html`<div class="pick"><label for="pick-camera"><${Icon} name="i-video" small />${t('devices.camera')}</label>
    <select id="pick-camera" class="field" value=${camera.id} aria-describedby=${camera.message ? 'pick-camera-trouble' : undefined}
      onChange=${(/** @type {any} */ event) => onChoose(event.currentTarget.value)}>
      ${!known && html`<option value=${camera.id} selected>${camera.id === 'default' ? t('camera.none') : camera.id}</option>`}
      ${list.map((device) => html`<option value=${device.id} key=${device.id} selected=${camera.id === device.id}>${device.name}</option>`)}</select>
    ${camera.message && html`<p class="warn" id="pick-camera-trouble" role="status">${camera.message}</p>`}</div>`
}

/** Whether the microphone has given nothing at all for 8 s. */
export function silent() {
  return (levels.value.levels?.microphone_silent_ms ?? 0) >= 8000
}

/** @param {{role: 'microphone'|'speaker', icon: string, list: Device[], chosen: Chosen}} props */
function Picker({ role, icon, list, chosen }) {
  const known = chosen.id === 'default' || list.some((device) => device.id === chosen.id)
  const id = 'pick-' + role
  const standard = list.find((device) => device.is_default)
  return html`<div class="pick"><label for=${id}><${Icon} name=${icon} small />${t('devices.' + role)}</label>
    <select id=${id} class="field" value=${chosen.id} aria-describedby=${chosen.message ? id + '-trouble' : undefined}
      onChange=${(/** @type {any} */ event) => send({ do: 'choose_device', role, id: event.currentTarget.value })}>
      <option value="default" selected=${chosen.id === 'default'}>${standard ? t('devices.default-is', { name: standard.name }) : t('devices.default')}</option>
      ${list.map((device) => html`<option value=${device.id} key=${device.id} selected=${chosen.id === device.id}>${device.name}</option>`)}
      ${!known && html`<option value=${chosen.id} selected>${chosen.id}</option>`}</select>
    ${chosen.message && html`<p class="warn" id=${id + '-trouble'} role="status">${chosen.message}</p>`}</div>`
}
