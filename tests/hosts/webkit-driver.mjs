// Drives WebKit: MiniBrowser of WebKitGTK under Xvfb, by plain W3C WebDriver over HTTP.

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'

/** How long the driver and the display get to come up, in milliseconds. */
const START = 30_000

async function freePort() {
  const server = createServer()
  await new Promise((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  const { port } = server.address()
  await new Promise((closed) => server.close(closed))
  return port
}

function miniBrowser() {
  for (const architecture of existsSync('/usr/lib') ? readdirSync('/usr/lib') : []) {
    for (const version of ['webkitgtk-6.0', 'webkit2gtk-4.1', 'webkit2gtk-4.0']) {
      const file = `/usr/lib/${architecture}/${version}/MiniBrowser`
      if (existsSync(file)) return file
    }
  }
  throw new Error('no MiniBrowser of WebKitGTK found; install webkit2gtk-driver')
}

/** Starts a display of its own and resolves with its name. */
function startDisplay() {
  const child = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1024x768x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  const name = new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`Xvfb can't be started: ${error.message}`)))
    child.stdio[3].once('data', (number) => resolve(`:${number.toString().trim()}`))
    child.once('exit', (code) => reject(new Error(`Xvfb ended with ${code}`)))
  })
  return { child, name }
}

/**
 * Starts the browser and opens a page.
 *
 * @param {string} address
 * @returns {Promise<{evaluate(script: string, ...args: unknown[]): Promise<any>, close(): Promise<void>}>} `evaluate` runs the
 * body of a function, which gets the arguments and, behind them, a function to call with its result
 */
export async function launchWebKit(address) {
  const browser = miniBrowser()
  const display = startDisplay()
  let driver
  const end = () => {
    driver?.kill('SIGTERM')
    display.child.kill('SIGTERM')
  }
  try {
    const port = await freePort()
    const base = `http://127.0.0.1:${port}`
    driver = spawn('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'], {
      stdio: 'ignore',
      env: {
        ...process.env,
        DISPLAY: await display.name,
        // Isolation alone doesn't bring SharedArrayBuffer here.
        JSC_useSharedArrayBuffer: '1',
        WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
        LIBGL_ALWAYS_SOFTWARE: '1',
      },
    })
    const failed = new Promise((_, reject) => driver.once('error', (error) => reject(new Error(`WebKitWebDriver can't be started: ${error.message}`))))
    const command = async (method, path, body) => {
      const response = await fetch(base + path, { method, body: body && JSON.stringify(body), headers: { 'content-type': 'application/json' } })
      const { value } = await response.json()
      if (!response.ok) throw new Error(`${value.error}: ${value.message}`)
      return value
    }
    const until = Date.now() + START
    for (;;) {
      try {
        await Promise.race([command('GET', '/status'), failed])
        break
      } catch (error) {
        // Not listening yet: a process that was just started gives no other sign.
        if (error.cause?.code !== 'ECONNREFUSED' || Date.now() > until) throw error
        await new Promise((later) => setTimeout(later, 50))
      }
    }
    const { sessionId } = await command('POST', '/session', {
      capabilities: {
        alwaysMatch: { 'webkitgtk:browserOptions': { binary: browser, args: ['--automation'] }, timeouts: { script: 300_000, pageLoad: 60_000 } },
      },
    })
    const session = `/session/${sessionId}`
    await command('POST', `${session}/url`, { url: address })
    return {
      evaluate: (script, ...args) => command('POST', `${session}/execute/async`, { script, args }),
      async close() {
        await command('DELETE', session).catch(() => {})
        end()
      },
    }
  } catch (error) {
    end()
    throw error
  }
}
