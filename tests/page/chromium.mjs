// The system's Chromium, driven by playwright-core.

import { existsSync } from 'node:fs'
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
