// The page's side of the tests of stored files: what a driver calls.
import { Capfs } from '/dist/index.js'

let capfs
let guest
const agents = new Map()
let next = 1

const mounts = (mount) => ({ '/s': { type: 'opfs', ...mount } })

/** What the agent printed, what it ended with, and how long mounting took. */
async function outcome(agent) {
  const [out, exit] = await Promise.all([new Response(agent.stdout).text(), agent.exit])
  return { out, code: exit.code, reason: exit.reason, message: exit.message, mount: exit.timings.mount }
}

window.stored = {
  /** Makes capfs in a variant, with the guest's module in base64. */
  async start(wait, base64) {
    capfs?.close()
    capfs = await Capfs.create({ variant: { wait } })
    guest = await capfs.compile(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)))
  },

  /** Runs the guest to its end. */
  async run(args, mount, grants) {
    const agent = await capfs.spawn(guest, grants ? { args, grants, name: 'stored.wasm' } : { args, mounts: mounts(mount) })
    return outcome(agent)
  },

  /** How a start is refused: the code and the message. */
  async refusal(mount, grants) {
    const options = grants ? { grants, name: 'stored.wasm' } : { mounts: mounts(mount) }
    const agent = await capfs.spawn(guest, { args: ['try'], ...options }).catch((error) => error)
    if (agent.code === undefined) throw new Error(`it was started, and ended: ${JSON.stringify(await outcome(agent))}`)
    return [agent.code, agent.message]
  },

  /** Writes something else into a file of the browser's that a tree is kept in. */
  async spoil(directory, name) {
    let folder = await navigator.storage.getDirectory()
    for (const part of ['capfs', ...directory.split('/')]) folder = await folder.getDirectoryHandle(part)
    const writable = await (await folder.getFileHandle(name)).createWritable({ keepExistingData: true })
    await writable.write({ type: 'write', position: 0, data: new Uint8Array(4096).fill(0x55) })
    await writable.close()
  },

  /** Runs the guest until it has printed `until`, and answers with its number. */
  async begin(args, mount, until) {
    const agent = await capfs.spawn(guest, { args, mounts: mounts(mount), stdin: 'pipe' }).catch((error) => {
      if (error.code !== 'VARIANT_UNAVAILABLE') throw error
      // Without a way to wait there is no input to wait for.
      return capfs.spawn(guest, { args, mounts: mounts(mount) })
    })
    const reader = agent.stdout.getReader()
    const decoder = new TextDecoder()
    let printed = ''
    while (!printed.includes(until)) {
      const { done, value } = await reader.read()
      if (done) throw new Error(`the agent ended after printing ${JSON.stringify(printed)}: ${JSON.stringify(await agent.exit)}`)
      printed += decoder.decode(value, { stream: true })
    }
    agents.set(next, { agent, reader, printed })
    return next++
  },

  /** Ends the input of an agent that was begun, and waits for its end. */
  async finish(number) {
    const { agent, reader, printed } = agents.get(number)
    await agent.closeStdin()
    const decoder = new TextDecoder()
    let out = printed
    for (let part; !(part = await reader.read()).done; ) out += decoder.decode(part.value, { stream: true })
    const { code, reason, message } = await agent.exit
    return { out, code, reason, message }
  },

  /** Reads a file of the tree through an agent that has ended. */
  async readAfter(args, mount, path) {
    const agent = await capfs.spawn(guest, { args, mounts: mounts(mount) })
    await outcome(agent)
    const names = (await agent.readDir('/s')).map(({ name }) => name).sort()
    const bytes = await agent.readFile(path)
    await agent.dispose()
    return { names, length: bytes.length }
  },

  /** Ends everything at once, as a page does that is left. */
  close() {
    capfs.close()
    capfs = undefined
  },

  /** The same work on a bare access handle: milliseconds of writing, flushing, reading. */
  raw(size, total) {
    const work = async ({ data: { size, total } }) => {
      const root = await navigator.storage.getDirectory()
      const file = await root.getFileHandle('bare', { create: true })
      const handle = await file.createSyncAccessHandle()
      handle.truncate(0)
      const bytes = new Uint8Array(size).fill(7)
      const begun = performance.now()
      for (let at = 0; at < total; at += size) handle.write(bytes, { at })
      const written = performance.now()
      handle.flush()
      const kept = performance.now()
      for (let at = 0; at < total; at += size) handle.read(bytes, { at })
      const read = performance.now()
      handle.close()
      await root.removeEntry('bare')
      postMessage([written - begun, kept - written, read - kept])
    }
    const worker = new Worker(URL.createObjectURL(new Blob([`onmessage = ${work}`], { type: 'text/javascript' })))
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message))
      worker.onmessage = ({ data }) => {
        worker.terminate()
        resolve(data)
      }
      worker.postMessage({ size, total })
    })
  },
}
