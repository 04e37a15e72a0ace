// What an agent does by capabilities, done in a worker by the platform's own interfaces: `{name, count, times, address}` answers
// `{output, end}`, where `output` is as the agent's, or `{failed}`. The counterpart of guest/src/bin/devices.rs, size for size.

const SMALL = 100
const LARGE = 64 << 10
const UNDER_WAY = 16

const MEASURED = {
  'fetch-large': async (count, address) => {
    const begun = performance.now()
    const reader = (await fetch(`${address}/${count}`)).body.getReader()
    let total = 0
    for (let piece; !(piece = await reader.read()).done; ) total += piece.value.length
    same(total, count)
    return performance.now() - begun
  },
  'fetch-small': async (count, address) => {
    const begun = performance.now()
    for (let done = 0; done < count; done++) same((await (await fetch(`${address}/${SMALL}`)).arrayBuffer()).byteLength, SMALL)
    return performance.now() - begun
  },
  echo: (count, address) => echo(count, address, SMALL, 1),
  'echo-many': (count, address) => echo(count, address, SMALL, UNDER_WAY),
  'echo-large': (count, address) => echo(count, address, LARGE, UNDER_WAY),
  'store-4k': async (count) => (await store(count, 4096)).written,
  'sync-4k': async (count) => (await store(count, 4096)).synced,
  'store-1m': async (count) => (await store(count, 1 << 20)).written,
  'load-4k': (count) => load(count, 4096),
  'load-1m': (count) => load(count, 1 << 20),
  records: async (count) => {
    const asked = (request) =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
    await asked(indexedDB.deleteDatabase('bare'))
    const opening = indexedDB.open('bare', 1)
    opening.onupgradeneeded = () => opening.result.createObjectStore('s')
    const database = await asked(opening)
    const value = new Uint8Array(SMALL).fill(7)
    const begun = performance.now()
    for (let number = 0; number < count; number++) {
      await new Promise((resolve, reject) => {
        const transaction = database.transaction('s', 'readwrite')
        transaction.objectStore('s').put(value, `k${number}`)
        transaction.oncomplete = resolve
        transaction.onabort = () => reject(transaction.error)
      })
    }
    const taken = performance.now() - begun
    database.close()
    return taken
  },
  digests: async (count) => {
    const message = new Uint8Array(1024).fill(7)
    const begun = performance.now()
    for (let done = 0; done < count; done++) same((await crypto.subtle.digest('SHA-256', message)).byteLength, 32)
    return performance.now() - begun
  },
  signatures: async (count) => {
    const { privateKey } = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])
    const message = new Uint8Array(32).fill(7)
    const begun = performance.now()
    for (let done = 0; done < count; done++) same((await crypto.subtle.sign('Ed25519', privateKey, message)).byteLength, 64)
    return performance.now() - begun
  },
}

function same(found, expected) {
  if (found !== expected) throw new Error(`${found} in place of ${expected}`)
}

async function echo(count, address, size, underWay) {
  const socket = new WebSocket(`${address}/`)
  socket.binaryType = 'arraybuffer'
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = () => reject(new Error('no connection'))
  })
  const message = new Uint8Array(size).fill(7)
  const begun = performance.now()
  await new Promise((resolve, reject) => {
    let [sent, received] = [0, 0]
    const send = () => {
      for (; sent < count && sent < received + underWay; sent++) socket.send(message)
    }
    socket.onmessage = ({ data }) => {
      if (data.byteLength !== size) reject(new Error(`a message of ${data.byteLength} bytes`))
      if (++received === count) resolve()
      else send()
    }
    socket.onclose = () => reject(new Error('the connection was closed'))
    send()
  })
  const taken = performance.now() - begun
  socket.onclose = null
  socket.close()
  return taken
}

async function withHandle(work) {
  const folder = await navigator.storage.getDirectory()
  const handle = await (await folder.getFileHandle('bare', { create: true })).createSyncAccessHandle()
  try {
    return work(handle)
  } finally {
    handle.close()
  }
}

const store = (count, size) =>
  withHandle((handle) => {
    const piece = new Uint8Array(size).fill(7)
    handle.truncate(0)
    const begun = performance.now()
    for (let done = 0; done < count; done++) same(handle.write(piece, { at: done * size }), size)
    const written = performance.now() - begun
    handle.flush()
    return { written, synced: performance.now() - begun - written }
  })

const load = (count, size) =>
  withHandle((handle) => {
    if (handle.getSize() < count * size) {
      handle.write(new Uint8Array(count * size).fill(7), { at: 0 })
      handle.flush()
    }
    const piece = new Uint8Array(size)
    const begun = performance.now()
    for (let done = 0; done < count; done++) {
      same(handle.read(piece, { at: done * size }), size)
      same(piece[size - 1], 7)
    }
    return performance.now() - begun
  })

onmessage = async ({ data: { name, count, times, address } }) => {
  try {
    let output = ''
    for (let round = 0; round < times; round++) output += `${name} ${count} ${Math.round((await MEASURED[name](count, address)) * 1e6)}\n`
    postMessage({ output, end: true })
  } catch (error) {
    postMessage({ failed: String(error) })
  }
}
postMessage({ ready: true })
