// What cases check with, in Node and on a page.

/** Fails unless both are the same as JSON. */
export function same(actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== b) throw new Error(`got ${a} instead of ${b}`)
}

/** Runs the guest to its end: its exit and everything that it printed. */
export async function run(capfs, guest, args, options = {}) {
  const agent = await capfs.spawn(guest, { args, ...options })
  const [out, exit] = await Promise.all([new Response(agent.stdout).text(), agent.exit])
  return { agent, out, code: exit.code, reason: exit.reason, exit }
}

/** Fails unless the promise is rejected with this code. */
export const rejects = async (promise, code) => {
  const error = await promise.then(
    () => undefined,
    (failure) => failure,
  )
  same(error?.code, code)
}
