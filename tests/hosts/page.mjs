// The page's side of the browser hosts: two functions that a driver calls. Everything that crosses is text.

import { Capfs } from '../../web/dist/index.js'
import { runCase } from './package.mjs'

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
}

function base64(bytes) {
  let text = ''
  // In pieces: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return btoa(text)
}

let capfs

/** Makes capfs in a variant, such as `jspi-multi`; returns what is then in use, or the error's code. */
async function start(variant) {
  capfs?.close()
  const [wait, memory] = variant.split('-')
  try {
    capfs = await Capfs.create({ variant: { wait, memory }, capabilities: true })
  } catch (error) {
    return { error: `${error.code ?? error.name}: ${error.message}` }
  }
  return { variant: `${capfs.variant.wait}-${capfs.variant.memory}`, isolated: crossOriginIsolated }
}

/** Runs a case; `program` is a module in base64. */
async function run(wanted, program) {
  try {
    const result = await runCase(capfs, bytes(program), wanted)
    const files = Object.fromEntries(Object.entries(result.files ?? {}).map(([path, contents]) => [path, base64(contents)]))
    return { ...result, stdout: base64(result.stdout), stderr: base64(result.stderr), files }
  } catch (error) {
    return { failure: `${error.message}\n${error.stack}` }
  }
}

window.conformance = {
  /** Calls by name with JSON and answers with JSON: the least that every driver can carry. */
  async call(name, json) {
    return JSON.stringify(await { start, run }[name](...JSON.parse(json)))
  },
}
