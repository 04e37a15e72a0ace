// Writes small tar archives (ustar), for cases that mount one. Runs in Node and in pages.

const BLOCK = 512
const text = new TextEncoder()

function header(name, size, type) {
  const block = new Uint8Array(BLOCK)
  const put = (value, at) => block.set(text.encode(value), at)
  const octal = (value, at, length) => put(`${value.toString(8).padStart(length - 1, '0')}\0`, at)
  put(name, 0)
  octal(type === '5' ? 0o755 : 0o644, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(1_000_000_000, 136, 12)
  put(' '.repeat(8), 148)
  put(type, 156)
  put('ustar\x0000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/**
 * An archive of `files` (path -> text or bytes), with the directories that lead to them.
 *
 * @param {Record<string, string | Uint8Array>} files
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function tar(files) {
  const blocks = []
  const made = new Set()
  for (const [path, contents] of Object.entries(files)) {
    const parts = path.split('/').slice(0, -1)
    parts.forEach((_, index) => {
      const directory = `${parts.slice(0, index + 1).join('/')}/`
      if (!made.has(directory)) blocks.push(header(directory, 0, '5'))
      made.add(directory)
    })
    const bytes = typeof contents === 'string' ? text.encode(contents) : contents
    const padded = new Uint8Array(Math.ceil(bytes.length / BLOCK) * BLOCK)
    padded.set(bytes)
    blocks.push(header(path, bytes.length, '0'), padded)
  }
  blocks.push(new Uint8Array(2 * BLOCK))
  const whole = new Uint8Array(blocks.reduce((total, block) => total + block.length, 0))
  let at = 0
  for (const block of blocks) {
    whole.set(block, at)
    at += block.length
  }
  return whole
}
