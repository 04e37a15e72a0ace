// What follows from the descriptions of devices: `node scripts/devices.mjs` writes it, scripts/lint.mjs checks it.
//
// A device is a folder of devices/src with a `device.json`, and nothing outside of the folder names it by hand but what a host has to do for it. Its fields:
//   name       in a grant; `type` in types, `Fetch` for `FetchGrant` and `DeviceKind::Fetch`
//   path       where it appears unless the grant says otherwise
//   about      what it is, in a few words
//   may        what an agent with a grant may do, behind “It may”: see web/demo/src/capabilities/sentence.ts
//   kernel     which kernel of a page has it: `every`, or the one with `capabilities`
//   build      whether every host makes it alike, by `build` of its module, of what every host has (`Parts`); `check` every module has
//   keeps      for a device that keeps things under the agent's identity: `in` which global of the platform, `unless` which terms are so
//   hosts      what has it: `native` by what it `needs` (`nothing`, `state`, `terminal`, `page`) and `why` it is missing without that, and words for
//              the documents (`note` natively, `page`, `node`)
//   files      for a device without a section of its own in docs/capabilities.md: its files and what they are, and `notes`, paragraphs
//   terms      see below; `at`, which every device has, is not among them
// and those of a term:
//   key, about   its name; what it means, in sentences, with what holds where it is not given
//   value        `text`, `size`, `count`, `duration`, `rate`, `yes`, `header`, or a list of what it can be, which `type` may name
//   word         what stands for a text in the documents
//   many, needed, secret   it may be repeated; there is no device without it; only the host may know its value
//   only         `native`: a page refuses it; `machine`: only files and flags of a machine have it
//   label, example, start, words   the form of the demo page: a few words, a value, the value of a new grant, and what values are called in `may`

import { readFile, writeFile } from 'node:fs/promises'

import { readDevices } from './devices/read.mjs'
import { documents } from './devices/documents.mjs'
import { lib, registry } from './devices/rust.mjs'
import { schema } from './devices/schema.mjs'
import { form, grants, kernels } from './devices/typescript.mjs'

const root = new URL('../', import.meta.url)

/** What is written: from the descriptions, and from what the file has already where only a part of it follows. */
const FILES = {
  'devices/src/registry.rs': registry,
  'devices/src/lib.rs': lib,
  'web/src/both/device-grants.ts': grants,
  'web/src/both/devices.ts': kernels,
  'web/demo/src/capabilities/described.ts': form,
  'docs/capabilities.md': documents,
  'docs/manifest.schema.json': schema,
}

/** Each file, what it has, and what it should have. */
async function followed() {
  const devices = await readDevices()
  const entries = Object.entries(FILES).map(async ([path, make]) => {
    const before = await readFile(new URL(path, root), 'utf8').catch(() => '')
    return { path, before, after: make(devices, before) }
  })
  return Promise.all(entries)
}

/** For scripts/lint.mjs. */
export async function checkDevices(report) {
  const stale = (await followed()).filter(({ before, after }) => before !== after)
  report('what follows from the descriptions of devices is written', stale.map(({ path }) => `${path}: node scripts/devices.mjs`))
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const { path, before, after } of await followed()) {
    if (before === after) continue
    await writeFile(new URL(path, root), after)
    console.log(path)
  }
}
