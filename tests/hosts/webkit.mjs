// Runs cases in WebKit.

import { openPage } from './browser.mjs'
import { launchWebKit } from './webkit-driver.mjs'

/** WebKitGTK 2.50 has neither JSPI nor multi-memory. */
export const variants = ['sab-single', 'none-single']

async function launch(address) {
  const { evaluate, close } = await launchWebKit(address)
  const call = (name, json) =>
    evaluate(
      `const [name, json, done] = arguments
       const ready = () => window.conformance ? window.conformance.call(name, json).then(done) : setTimeout(ready, 20)
       ready()`,
      name,
      json,
    )
  return { call, close }
}

export const open = (variant) => openPage(variant, launch)
