// The least that JavaScript must do: one file, views that are kept, no check of anything. No host could be
// this careless; it shows where a host in JavaScript ends.

const BADF = 8
const FIRST_FILE = 4

class Exit extends Error {}

export function makeHost(args, output) {
  const encoder = new TextEncoder()
  const strings = args.map((arg) => encoder.encode(`${arg}\0`))
  let memory
  let bytes = new Uint8Array()
  let view
  const look = () => {
    if (bytes.length === 0) {
      bytes = new Uint8Array(memory.buffer)
      view = new DataView(memory.buffer)
    }
  }
  const file = { data: new Uint8Array(1 << 16), size: 0, at: 0 }
  const write = (fd, iovs, _count, result) => {
    look()
    const from = view.getUint32(iovs, true)
    const length = view.getUint32(iovs + 4, true)
    if (fd < 3) output(bytes.slice(from, from + length))
    else {
      const end = file.at + length
      if (end > file.data.length) {
        const grown = new Uint8Array(Math.max(end, file.data.length * 2))
        grown.set(file.data)
        file.data = grown
      }
      if (length === 1) file.data[file.at] = bytes[from]
      else file.data.set(bytes.subarray(from, from + length), file.at)
      file.at = end
      if (end > file.size) file.size = end
    }
    view.setUint32(result, length, true)
    return 0
  }
  const readAt = (at, iovs, result) => {
    look()
    const to = view.getUint32(iovs, true)
    const length = Math.min(view.getUint32(iovs + 4, true), file.size - at)
    if (length === 1) bytes[to] = file.data[at]
    else bytes.set(file.data.subarray(at, at + length), to)
    view.setUint32(result, length, true)
    return length
  }
  const wasi = {
    args_sizes_get: (count, size) => {
      look()
      view.setUint32(count, strings.length, true)
      view.setUint32(size, strings.reduce((sum, text) => sum + text.length, 0), true)
      return 0
    },
    args_get: (list, buffer) => {
      look()
      for (const text of strings) {
        view.setUint32(list, buffer, true)
        bytes.set(text, buffer)
        list += 4
        buffer += text.length
      }
      return 0
    },
    environ_sizes_get: (count, size) => {
      look()
      view.setUint32(count, 0, true)
      view.setUint32(size, 0, true)
      return 0
    },
    environ_get: () => 0,
    clock_time_get: (_id, _precision, result) => {
      look()
      view.setBigUint64(result, BigInt(Math.round(performance.now() * 1e6)), true)
      return 0
    },
    random_get: (at, length) => {
      look()
      crypto.getRandomValues(bytes.subarray(at, at + length))
      return 0
    },
    fd_prestat_get: () => BADF,
    fd_prestat_dir_name: () => BADF,
    fd_fdstat_get: () => 0,
    fd_close: () => 0,
    fd_seek: (_fd, offset, _whence, result) => {
      look()
      file.at = Number(offset)
      view.setBigUint64(result, offset, true)
      return 0
    },
    fd_write: write,
    fd_read: (_fd, iovs, _count, result) => {
      file.at += readAt(file.at, iovs, result)
      return 0
    },
    fd_pread: (_fd, iovs, _count, offset, result) => {
      readAt(Number(offset), iovs, result)
      return 0
    },
    path_open: (_fd, _follow, path, length, flags, _base, _inheriting, _fdflags, result) => {
      look()
      let name = ''
      for (let i = 0; i < length; i++) name += String.fromCharCode(bytes[path + i])
      if (name === '') return BADF
      if (flags & 8) file.size = 0
      file.at = 0
      view.setUint32(result, FIRST_FILE, true)
      return 0
    },
    path_filestat_get: (_fd, _follow, path, length, result) => {
      look()
      let name = ''
      for (let i = 0; i < length; i++) name += String.fromCharCode(bytes[path + i])
      if (name === '') return BADF
      bytes.fill(0, result, result + 64)
      bytes[result + 16] = 4
      view.setBigUint64(result + 32, BigInt(file.size), true)
      return 0
    },
    sched_yield: () => 0,
    proc_exit: () => {
      throw new Exit()
    },
  }
  const missing = new Proxy(wasi, { get: (calls, name) => calls[name] ?? (() => BADF), has: () => true })
  return {
    imports: { wasi_snapshot_preview1: missing },
    start: (instance) => {
      memory = instance.exports.memory
      try {
        instance.exports._start()
      } catch (error) {
        if (!(error instanceof Exit)) throw error
      }
    },
  }
}
