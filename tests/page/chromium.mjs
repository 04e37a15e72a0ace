// The system's Chromium, driven by playwright-core.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { chromium } from 'playwright-core'

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

const options = () => {
  const executablePath = PLACES.find((place) => place && existsSync(place))
  if (!executablePath) throw new Error('no Chromium found; install it, or name it in the variable CHROMIUM')
  return {
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  }
}

/** Starts it with a new profile, which is kept in memory; the caller closes it. */
export const launchChromium = () => chromium.launch(options())

/** Starts it with a profile in a folder, so that what pages store is stored on the disk; the caller closes what it gets. */
export const openChromium = (folder) => chromium.launchPersistentContext(folder, options())

/** The processes that run pages, of every browser that this process has started. */
export function renderers() {
  const found = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      if (command.includes('--type=renderer') && ancestors(pid).includes(process.pid)) found.push(pid)
    } catch {
      // It ended meanwhile.
    }
  }
  return found
}

function ancestors(pid) {
  const found = []
  for (let at = Number(pid); at > 1; ) {
    // The name in parentheses may hold anything.
    const behind = readFileSync(`/proc/${at}/stat`, 'utf8').split(') ').at(-1)
    at = Number(behind.split(' ')[1])
    found.push(at)
  }
  return found
}
