import { ConsoleStdout, File, OpenFile, PreopenDirectory, WASI } from '/node_modules/@bjorn3/browser_wasi_shim/dist/index.js'

export function makeHost(args, output) {
  const files = [new OpenFile(new File([])), new ConsoleStdout(output), new ConsoleStdout(output), new PreopenDirectory('/work', new Map())]
  const wasi = new WASI(args, [], files)
  return { imports: { wasi_snapshot_preview1: wasi.wasiImport }, start: (instance) => wasi.start(instance) }
}
