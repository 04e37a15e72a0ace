import { WASI } from '/node_modules/@runno/wasi/dist/main.js'

const encoder = new TextEncoder()

export function makeHost(args, output) {
  const print = (text) => output(encoder.encode(text))
  const wasi = new WASI({ args, env: {}, fs: {}, stdin: () => null, stdout: print, stderr: print, isTTY: false })
  return { imports: wasi.getImportObject(), start: (instance, module) => wasi.start({ instance, module }) }
}
