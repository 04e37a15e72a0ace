// Runs programs with one of the rivals: `rival-worker.mjs?rival=NAME`, a name of rivals/.
//
// It takes `{module, args, times}` and answers `{output}` for each piece of output and `{end, each}` at the end,
// where `each` is the milliseconds of one run, measured here over all of them.

const name = new URL(location.href).searchParams.get('rival')
const { makeHost } = await import(`./rivals/${name}.mjs`)

onmessage = ({ data: { module, args, times = 1, quiet = false } }) => {
  const begun = performance.now()
  for (let run = 0; run < times; run++) {
    const host = makeHost(['program', ...args], (bytes) => quiet || postMessage({ output: bytes.slice() }))
    const instance = new WebAssembly.Instance(module, host.imports)
    host.start(instance, module)
  }
  postMessage({ end: true, each: (performance.now() - begun) / times })
}

// What is held here, in every variant: the page asks for it to see when the worker is really gone.
const held = new URL(location.href).searchParams.get('lock')
if (held) void navigator.locks.request(held, () => new Promise(() => undefined))

postMessage({ ready: true })
