// Runs an agent as the package's own worker does, with a fresh kernel for each run, and measures it here: `{modules,
// module, variant, args, times, prepared}` answers `{end, each}`, or `{failed}`. With `prepared` the kernel is there before the
// clock starts, as it is in a spare worker.
import { AgentRun } from '/web/dist/worker/agent-run.js'
import { KernelInstance } from '/web/dist/worker/kernel-instance.js'
import { loadBindings } from '/web/dist/both/kernels.js'
import { ClockWait, SuspendingWait } from '/web/dist/worker/waiting.js'

const config = (args) => ({
  args: ['program', ...args], env: [], mounts: [{ path: '/work', members: [{ type: 'memory', files: [], writable: true }] }], grants: [], clockStep: 0, random: true, tty: false,
  files: 0, storage: 0, memory: 0, stdin: new Uint8Array(),
})

let last = 0
let bindings

async function run({ modules, module, variant, args, times, prepared }) {
  bindings ??= await loadBindings(modules.full)
  const waiting = variant.wait === 'jspi' ? new SuspendingWait() : new ClockWait()
  let taken = 0
  for (let run = 0; run < times; run++) {
    const spare = prepared ? new KernelInstance(modules.kernel, bindings) : undefined
    const begun = performance.now()
    let exit
    const port = { post: (report) => report.type === 'exit' && (exit = report.exit) }
    const agent = new AgentRun(++last, spare ?? new KernelInstance(modules.kernel, bindings), config(args), port, variant, waiting, undefined)
    await agent.run(module, modules)
    taken += performance.now() - begun
    if (exit?.code !== 0) throw new Error(`the agent ended with ${exit?.code}: ${exit?.message}`)
  }
  return taken / times
}

onmessage = ({ data }) =>
  run(data).then(
    (each) => postMessage({ end: true, each }),
    (error) => postMessage({ failed: String(error) }),
  )
postMessage({ ready: true })
