// What every consumer does: runs one agent and says what came of it.

/** 146 bytes: writes one line by `fd_write` and ends (the text form is in ../README.md). */
const HELLO =
  'AGFzbQEAAAABDAJgBH9/f38Bf2AAAAIjARZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxCGZkX3dyaXRlAAADAgEBBQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAEKEAEOAEEBQQBBAUHAABAAGgsLJQEAQQALHwgAAAAXAAAAaGVsbG8gb3V0IG9mIGEgcGFja2FnZQo='

/** What {@link greet} answers when everything works. */
export const EXPECTED = 'hello out of a package, exit code 0'

/** Runs the agent with the `Capfs` class that the consumer imported. */
export async function greet(Capfs, options = {}) {
  const capfs = await Capfs.create(options)
  try {
    const agent = await capfs.spawn(Uint8Array.from(atob(HELLO), (char) => char.charCodeAt(0)))
    const text = await new Response(agent.stdout).text()
    const { code } = await agent.exit
    return `${text.trim()}, exit code ${code}`
  } finally {
    capfs.close()
  }
}
