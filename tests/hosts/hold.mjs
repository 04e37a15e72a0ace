// An agent that holds as much as it can, by the npm package, in Node or in a page.

/** Runs it until it has said what it holds, and leaves it waiting; tells its line, and what it uses. */
export async function hold(Capfs, program, { way, most, limit, grants = [], env = {} }) {
  const capfs = await Capfs.create({ capabilities: true })
  const agent = await capfs.spawn(program, {
    args: [way, String(most)],
    env,
    mounts: { '/memory': { type: 'memory' } },
    grants,
    limits: { memory: limit, files: 10_000_000, storage: Infinity },
    console: { log: () => undefined, warn: () => undefined, error: () => undefined },
  })
  const decoder = new TextDecoder()
  const reader = agent.stdout.getReader()
  let line = ''
  while (!line.includes('\n')) {
    const { value, done } = await reader.read()
    if (done) throw new Error(`it ended: ${JSON.stringify(await agent.exit)}`)
    line += decoder.decode(value, { stream: true })
  }
  return { line: line.trim(), usage: await agent.usage() }
}
