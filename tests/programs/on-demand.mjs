// Programs that are too large to be had for every run of the tests: pandoc as it is released, and programs here in Go, Zig, C++ and C,
// by compilers that are fetched. In the form of tests/cases.mjs.
//
//   npm run programs -- [--host native,node] [--only NAME]

import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../../scripts/command.mjs'
import { step } from '../../scripts/progress.mjs'
import { target } from '../../scripts/project.mjs'
import { compiler, program } from '../../scripts/setup/fetched-tools.mjs'

const sources = join(dirname(fileURLToPath(import.meta.url)), 'on-demand')
const work = join(target, 'on-demand')
const memory = (files) => ({ type: 'memory', files })

// pandoc is compiled natively for minutes, once.
const PATIENCE = 20 * 60_000
/** Its own folder for data is not there, and it needs none for these. */
const pandoc = (name, to, rest = {}) => ({
  name: `pandoc_${name}`,
  made: ['pandoc'],
  args: ['--from', 'markdown', '--to', to, ...(rest.options ?? [])],
  stdin: readFileSync(join(sources, 'letter.md'), 'utf8'),
  mounts: { '/': memory({}) },
  patience: PATIENCE,
  ...rest,
})

const texts = {
  '/texts': { type: 'memory', files: { 'a.txt': 'One two three, two THREE three.\n', 'sub/b.txt': 'Über die Straße. One.\n', 'sub/c.txt': '' }, rights: 'ro' },
  '/out': memory({}),
}
const get = (path, headers = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n`

/** Cases; `made` says by which of MAKERS their programs are made, and of what. */
const CASES = [
  pandoc('html', 'html'),
  pandoc('latex', 'latex'),
  pandoc('native', 'native'),
  pandoc('json', 'json', { digest: true }),
  // An archive, written and read again.
  pandoc('docx', 'docx', { options: ['--output', '/letter.docx'], env: { SOURCE_DATE_EPOCH: '1700000000' }, collect: ['/letter.docx'] }),
  pandoc('docx_read', '', {
    args: ['--from', 'docx', '--to', 'plain', '/letter.docx'],
    stdin: undefined,
    mounts: { '/': memory({ 'letter.docx': { from: 'pandoc_docx', path: '/letter.docx' } }) },
  }),
  { name: 'cxx_thrown', made: ['older', 'thrown.cpp'] },
  { name: 'cxx_thrown_uncaught', made: ['older', 'thrown.cpp'], args: ['uncaught'], exit: { reason: 'trap' } },
  { name: 'cxx_thrown_quiet', made: ['older', 'thrown.cpp'], args: ['quiet'], exit: { reason: 'exit', code: 3 } },
  { name: 'c_jumps', made: ['older', 'jumps.c'] },
  { name: 'go_words', made: ['go', 'words.go'], args: ['/texts', '/out/words'], mounts: texts },
  {
    name: 'go_serve',
    made: ['go', 'serve.go'],
    // The package hands no sockets to programs.
    hosts: ['native'],
    listen: 1,
    patience: PATIENCE,
    mounts: { '/srv': { type: 'memory', files: { 'a.txt': 'the first file\n', 'sub/b.txt': 'the second, below\n', 'big.txt': 'line\n'.repeat(200_000) }, rights: 'ro' } },
    dialogue: [
      { until: 'ready\n', connect: 0, say: [0, get('/a.txt')] },
      { until: '', connect: 0, say: [1, get('/sub/b.txt', 'Range: bytes=4-9\r\n')] },
      { until: '', connect: 0, say: [2, get('/../etc/passwd')] },
      { until: '', connect: 0, say: [3, get('/sub/../../outside')] },
      { until: '', connect: 0, say: [4, get('/big.txt', 'Range: bytes=-10\r\n')] },
      { until: '', connect: 0, say: [5, get('/quit')] },
    ],
  },
  { name: 'zig_words', made: ['zig', 'words.zig'], mounts: texts },
]

const name = (source) => join(work, `${source.replace('.', '_')}.wasm`)

async function go(source) {
  const root = await compiler('go')
  await run([join(root, 'bin', 'go'), 'build', '-o', name(source), join(sources, source)], {
    env: {
      GOROOT: root, GOOS: 'wasip1', GOARCH: 'wasm', GOCACHE: join(target, 'stdlib', 'go', 'cache'), GOPATH: join(work, 'path'), GOENV: 'off', GOWORK: 'off',
      GOFLAGS: '-p=1', GOPROXY: 'off', GOTOOLCHAIN: 'local', GOTELEMETRY: 'off',
    },
  })
  return name(source)
}

const zigCache = { ZIG_GLOBAL_CACHE_DIR: join(target, 'stdlib', 'zig', 'cache'), ZIG_LOCAL_CACHE_DIR: join(target, 'stdlib', 'zig', 'cache') }

async function zig(source) {
  const root = await compiler('zig')
  await run([join(root, 'zig'), 'build-exe', join(sources, source), '-target', 'wasm32-wasi', '-O', 'ReleaseSafe', `-femit-bin=${name(source)}`], { env: zigCache, cwd: work })
  return name(source)
}

/** Sources of LLVM's C++ runtime that exceptions are made of; its standard library is there for WASI without exceptions alone. */
const RUNTIME = [
  'abort_message', 'cxa_aux_runtime', 'cxa_default_handlers', 'cxa_exception', 'cxa_exception_storage', 'cxa_handlers', 'cxa_personality', 'cxa_virtual',
  'fallback_malloc', 'private_typeinfo', 'stdlib_exception', 'stdlib_new_delete', 'stdlib_typeinfo',
]

/**
 * A program with the older exception instructions, by the clang that Zig carries: it has the sources of LLVM's runtime beside it. The
 * system's clang 14 writes modules with such instructions that are not valid. The C library is the system's, as for the guests in C.
 */
async function older(source) {
  const root = await compiler('zig')
  const lib = join(root, 'lib')
  const at = join(work, source.replace('.', '_'))
  mkdirSync(at, { recursive: true })
  const flags = [
    '-target', 'wasm32-wasi', '-mcpu=generic+exception_handling', '-fwasm-exceptions', '-mllvm', '-wasm-enable-eh', '-mllvm', '-wasm-use-legacy-eh=true', '-O1',
    // What the driver of a whole tool chain would say.
    '-D__WASM_EXCEPTIONS__',
  ]
  const objects = []
  const compile = async (as, file, ...more) => {
    const object = join(at, `${file.split('/').at(-1)}.o`)
    await run([join(root, 'zig'), as, ...flags, ...more, '-c', file, '-o', object], { env: zigCache })
    objects.push(object)
  }
  await compile('cc', join(sources, 'tags.s'))
  if (source.endsWith('.cpp')) {
    await compile('c++', join(sources, source), '-Wall', '-Wextra', '-Werror')
    const own = [
      '-w', '-std=c++23', '-I', join(lib, 'libcxxabi', 'include'), '-I', join(lib, 'libcxxabi', 'src'), '-I', join(lib, 'libcxx', 'src'), '-I', join(lib, 'libcxx'),
      '-D_LIBCXXABI_BUILDING_LIBRARY', '-D_LIBCPP_BUILDING_LIBRARY', '-DLIBCXX_BUILDING_LIBCXXABI', '-DLIBCXXABI_NON_DEMANGLING_TERMINATE',
      '-D_LIBCXXABI_HAS_NO_THREADS', '-D_LIBCXXABI_DISABLE_VISIBILITY_ANNOTATIONS',
    ]
    for (const part of RUNTIME) await compile('c++', join(lib, 'libcxxabi', 'src', `${part}.cpp`), ...own)
    await compile('cc', join(lib, 'libunwind', 'src', 'Unwind-wasm.c'), '-w', '-I', join(lib, 'libunwind', 'include'), '-D_LIBUNWIND_HAS_NO_THREADS', '-D_LIBUNWIND_HIDE_SYMBOLS')
  } else {
    const jumps = ['-mllvm', '-wasm-enable-sjlj']
    await compile('cc', join(sources, source), ...jumps, '-Wall', '-Wextra', '-Werror')
    await compile('cc', join(lib, 'libc', 'wasi', 'libc-top-half', 'musl', 'src', 'setjmp', 'wasm32', 'rt.c'), ...jumps, '-w')
  }
  const libc = '/usr/lib/wasm32-wasi'
  const resources = (await run(['clang', '--print-resource-dir'])).trim()
  const builtins = `${resources}/lib/wasi/libclang_rt.builtins-wasm32.a`
  await run([join(root, 'zig'), 'wasm-ld', `${libc}/crt1-command.o`, ...objects, '-L', libc, '-lc', builtins, '-o', name(source)], { env: zigCache })
  // A compiler that wrote the present instructions would prove nothing.
  const older = await usesOlder(readFileSync(name(source)))
  if (!older) throw new Error(`${source} has none of the older exception instructions`)
  return name(source)
}

/** Whether a module has the older exception instructions: text of it does not parse without them. */
async function usesOlder(module) {
  const { default: load } = await import('wabt')
  const wabt = await load()
  const parsed = wabt.readWasm(module, { exceptions: true, bulk_memory: true, sign_extension: true, mutable_globals: true, sat_float_to_int: true, multi_value: true, reference_types: true })
  try {
    const text = parsed.toText({})
    return /^\s*try\b/m.test(text) && !/^\s*try_table\b/m.test(text)
  } finally {
    parsed.destroy()
  }
}

const MAKERS = { go, zig, older, pandoc: () => program('pandoc') }

/** The cases whose names contain `only`, with their programs made. */
export async function prepared(only = '') {
  mkdirSync(work, { recursive: true })
  const files = new Map()
  const cases = []
  for (const { made, ...rest } of CASES.filter(({ name }) => name.includes(only))) {
    const [how, source = how] = made
    if (!files.has(source)) files.set(source, await step(`Make ${source}`, () => MAKERS[how](source)))
    cases.push({ ...rest, program: files.get(source) })
  }
  return cases
}
