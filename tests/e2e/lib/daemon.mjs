// Starts real daemons with folders of their own, on loopback, with virtual sound devices.
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
export const BINARY = process.env.AHOY ?? fileURLToPath(new URL('../../../target/debug/ahoy', import.meta.url))
/** What the command line must not inherit: a screen to open a browser on, options of whoever runs the tests. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(AHOY_|DISPLAY|WAYLAND|BROWSER|XDG_RUNTIME_DIR|PULSE)/.test(key)))

/** Waits until `look` gives something. The bound is for broken builds, not for timing; `pause` milliseconds between looks. */
export async function until(what, look, seconds = 30, pause = 50) {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

// A test that failed must not hang on what it left running: a command that waits for the end of a call, say.
const running = new Set()
const endAll = () => { for (const child of running) child.kill('SIGKILL') }
after(endAll)
process.on('exit', endAll)

/** @param {{mic?: string, speaker?: string, args?: string[], folder?: string, env?: object, wrap?: string[]}} [options] `wrap`: words before the command */
export async function startDaemon(options = {}) {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'ahoy-e2e-'))
  const recording = join(folder, 'heard.wav')
  const trace = join(folder, `trace-${Date.now()}.jsonl`)
  const network = options.wrap ? [] : ['--mdns', 'off', '--listen', '/ip4/127.0.0.1/udp/0/quic-v1']
  const args = ['run', '--data', folder, '--ui', '0', ...network,
    '--mic', options.mic ?? 'null', '--speaker', options.speaker ?? `record:${recording}`, '--trace', trace, ...(options.args ?? [])]
  const env = { ...ENV, ...options.env }
  const [program, ...before] = [...(options.wrap ?? []), BINARY]
  const child = spawn(program, [...before, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (data) => { log += data })
  running.add(child)
  child.unref()
  child.stderr.unref()
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => {
    running.delete(child)
    resolve({ code, signal })
  }))
  const events = () => {
    try {
      return readFileSync(trace, 'utf8').split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line))
    } catch {
      return []
    }
  }
  const daemon = {
    folder, recording, child, events, log: () => log,
    /** Its end; whoever waits for it keeps this process alive. */
    get exited() {
      child.ref()
      return ended
    },
    /** Runs a command of this daemon; never throws. @param {string[]} words */
    async cli(...words) {
      try {
        // Without a screen: a command must not open a browser on the one that the daemon captures.
        const { DISPLAY: _, ...blind } = env
        const { stdout, stderr } = await run(program, [...before, ...words, '--data', folder], { env: blind })
        return { status: 0, stdout, stderr }
      } catch (error) {
        return { status: error.code, stdout: error.stdout ?? '', stderr: error.stderr ?? '' }
      }
    },
    async json(...words) {
      const { status, stdout, stderr } = await daemon.cli(...words, '--json')
      if (status !== 0) throw new Error(`ahoy ${words.join(' ')}: ${stderr}`)
      return JSON.parse(stdout)
    },
    event: (name, from = 0, seconds = 60) => until(`${name}\n${log}`, () => events().slice(from).find((each) => each.event === name), seconds),
    link: async () => (await daemon.json('open')).link,
    async stop() {
      child.kill('SIGTERM')
      const end = await daemon.exited
      if (!options.folder) rmSync(folder, { recursive: true, force: true })
      return end
    },
    /** Ends it without warning; the folder stays. */
    async kill() {
      child.kill('SIGKILL')
      await daemon.exited
    },
  }
  await daemon.event('daemon_ready')
  return daemon
}

/** Makes two daemons each other's contacts. */
export async function introduce(ann, bob) {
  for (const [one, other] of [[ann, bob], [bob, ann]]) {
    const { card } = await other.json('me')
    await one.json('contacts', 'add', card)
  }
}
