// Programs that are mostly definitions, of one kind each: they say a byte and wait for the end of their input. What an engine keeps of
// them is many times what they have in a file.

const leb = (number) => {
  const bytes = []
  do {
    bytes.push((number & 0x7f) | (number > 0x7f ? 0x80 : 0))
    number >>>= 7
  } while (number > 0)
  return Buffer.from(bytes)
}
const bytes = (...all) => Buffer.concat(all.map((one) => (typeof one === 'number' ? Buffer.from([one]) : Buffer.from(one))))
const vector = (entries) => Buffer.concat([leb(entries.length), ...entries])
const section = (id, contents) => bytes(id, leb(contents.length), contents)
const name = (text) => bytes(leb(Buffer.byteLength(text)), Buffer.from(text))
const times = (count, make) => Array.from({ length: count }, (_, index) => make(index))

const I32 = 0x7f
const WASI = 'wasi_snapshot_preview1'
/** `fd_write` and `fd_read` of one byte, at address 0, by the two numbers at address 8. */
const call = (fd, imported) => bytes(0x41, fd, 0x41, 8, 0x41, 1, 0x41, 16, 0x10, imported, 0x1a)

/** A program with more of some definitions than it needs. */
function program({ types = [], imports = [], functions = 0, tables = [], globals = [], tags = [], exported = [], elements = [], segments = [] }) {
  const nothing = bytes(0x60, 0, 0)
  const transfer = bytes(0x60, 4, I32, I32, I32, I32, 1, I32)
  const body = (code) => bytes(leb(code.length + 2), 0, code, 0x0b)
  const first = 2 + imports.length
  return bytes(
    '\0asm', 1, 0, 0, 0,
    section(1, vector([nothing, transfer, ...types])),
    section(2, vector([...['fd_write', 'fd_read'].map((call) => bytes(name(WASI), name(call), 0, 1)), ...imports])),
    section(3, vector(times(1 + functions, () => bytes(0)))),
    ...(tables.length > 0 ? [section(4, vector(tables))] : []),
    section(5, vector([bytes(0, 1)])),
    ...(tags.length > 0 ? [section(13, vector(tags))] : []),
    section(6, vector(globals)),
    section(7, vector([bytes(name('_start'), 0, leb(first)), bytes(name('memory'), 2, 0), ...exported])),
    section(9, vector(elements)),
    section(10, vector([body(bytes(call(1, 0), call(0, 1))), ...times(functions, () => body([]))])),
    section(11, vector([bytes(0, 0x41, 8, 0x0b, vector([0, 0, 0, 0, 1, 0, 0, 0].map((byte) => bytes(byte)))), ...segments])),
  )
}

/** Values by the digits of a number, so that no two types are the same. */
const different = (number, count) => times(count, (digit) => bytes([0x7f, 0x7e, 0x7d, 0x7c][(number >> (2 * Math.min(digit, 15))) & 3]))

/** By what they have many of: each of them a file. `number` makes types that no other has. */
export const DEFINITIONS = {
  types: (number) => program({ types: times(3_000, (index) => bytes(0x60, vector(different(number * 3_000 + index, 8)), 0)) }),
  'types in a group': (number) =>
    program({
      types: [bytes(0x4e, leb(20_001), bytes(0x5f, vector(different(number, 16).map((type) => bytes(type, 0)))), ...times(20_000, () => bytes(0x5f, 0)))],
    }),
  subtypes: (number) =>
    program({
      types: times(16_000, (index) => {
        const fields = vector(different(number * 16_000 + index, 10).map((type) => bytes(type, 0)))
        return index % 60 === 0 ? bytes(0x50, 0, 0x5f, 0) : bytes(0x50, 1, leb(1 + index), index % 60 === 59 ? bytes(0x5f, fields) : bytes(0x5f, 0))
      }),
    }),
  parameters: (number) => program({ types: times(30, (index) => bytes(0x60, vector(different(number * 30 + index, 1000)), 0)) }),
  fields: (number) => program({ types: times(15, (index) => bytes(0x5f, vector(different(number * 15 + index, 10_000).map((type) => bytes(type, 0))))) }),
  references: (number) =>
    program({ types: times(15, (index) => bytes(0x5f, vector(different(number * 15 + index, 10_000).map((type, at) => (at < 16 ? bytes(type, 0) : bytes(0x6d, 0)))))) }),
  imports: () => program({ imports: times(40_000, () => bytes(name(WASI), name('fd_write'), 0, 1)) }),
  functions: () => program({ functions: 60_000 }),
  exports: () => program({ exported: times(40_000, (index) => bytes(name(`function-${index}`), 0, 2)) }),
  'exports with long names': () => program({ exported: times(100, (index) => bytes(name(`${index}`.padEnd(30_000, 'x')), 0, 2)) }),
  'functions that are exported': () => program({ functions: 30_000, exported: times(30_000, (index) => bytes(name(`${index}`), 0, leb(3 + index))) }),
  globals: () => program({ globals: times(80_000, () => bytes(I32, 0, 0x41, 0, 0x0b)) }),
  tags: () => program({ tags: times(80_000, () => bytes(0, 0)) }),
  tables: () => program({ tables: times(20, () => bytes(0x70, 0, leb(200_000))), elements: times(20, (index) => bytes(2, leb(index), 0x41, 0, 0x0b, 0, vector([bytes(2)]))) }),
  elements: () => program({ elements: times(80_000, () => bytes(1, 0, vector([bytes(2)]))) }),
  'elements in a segment': () => program({ elements: [bytes(1, 0, vector(times(60_000, () => bytes(2))))] }),
  segments: () => program({ segments: times(80_000, () => bytes(1, 0)) }),
  'segments with contents': () => program({ segments: times(80_000, (index) => bytes(0, 0x41, 16, 0x0b, 1, index & 0xff)) }),
}
