// The servers that cases ask for, started once a run and shared by its cases, on loopback.
//
// A server is a module of this folder whose `serve()` resolves to `{ address, close() }`. In a case's grants, arguments,
// environment and standard input, `{name}` stands for the address of the server NAME; in transcripts the address is `{name}` again.

const running = new Map()

/** Starts what is asked for and isn't there yet, and resolves to the addresses by name. */
export async function serversFor(wanted) {
  const addresses = {}
  for (const name of wanted.servers ?? []) {
    if (!running.has(name)) {
      const { serve } = await import(`./${name}.mjs`)
      running.set(name, await serve())
    }
    addresses[name] = running.get(name).address
  }
  return addresses
}

/** A case with addresses in place of their names. */
export function addressed(wanted, addresses) {
  const fill = (text) => Object.entries(addresses).reduce((filled, [name, address]) => filled.replaceAll(`{${name}}`, address), text)
  return {
    ...wanted,
    ...(wanted.args ? { args: wanted.args.map(fill) } : {}),
    ...(wanted.env ? { env: Object.fromEntries(Object.entries(wanted.env).map(([name, value]) => [name, fill(value)])) } : {}),
    ...(wanted.stdin ? { stdin: fill(wanted.stdin) } : {}),
    ...(wanted.grants ? { grants: wanted.grants.map(fill) } : {}),
  }
}

/** What a run printed, with names in place of addresses, which differ from run to run. */
export function named(bytes, addresses) {
  let text = Buffer.from(bytes).toString('latin1')
  for (const [name, address] of Object.entries(addresses)) {
    const { host } = new URL(address)
    text = text.replaceAll(address, `{${name}}`).replaceAll(host, `{${name}.host}`)
  }
  return Buffer.from(text, 'latin1')
}

/** Ends them all. */
export async function closeServers() {
  await Promise.all([...running.values()].map((server) => server.close()))
  running.clear()
}
