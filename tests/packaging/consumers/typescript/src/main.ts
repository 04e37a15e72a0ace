import { Capfs, CapfsError, type Agent, type CapfsErrorCode, type Exit, type Mount, type SpawnOptions, type Variant } from 'capfs';

/** Uses each part of the interface once, in the types that its documentation promises. */
export async function everything(module: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<number> {
  using capfs = await Capfs.create({ variant: { memory: 'single' }, spares: 0 });
  const variant: Variant = capfs.variant;
  await capfs.writeFile('/notes/a.txt', variant.wait);
  const mounts: Record<string, Mount | Mount[]> = {
    '/': [{ type: 'memory', files: { 'a.txt': 'text', 'b.bin': new Uint8Array(4) }, rights: 'rw' }, { type: 'archive', data: new URL('https://example.com/lib.tar.gz') }],
    '/shared': { type: 'shared', path: '/notes', rights: 'ro' },
    '/dev/null': { type: 'null' },
    '/dev/zero': { type: 'zero' },
  };
  const options: SpawnOptions = { args: ['-v'], name: 'tool', id: 'tools', env: { HOME: '/' }, mounts, stdin: 'pipe', tty: true, limits: { memory: 1 << 26, time: 1000, files: 64, storage: 1 << 20 }, signal };
  await using agent: Agent = await capfs.spawn(await capfs.compile(module), options);
  await agent.write('input\n');
  await agent.closeStdin();
  let length = 0;
  for await (const chunk of agent.stdout) length += chunk.byteLength;
  const entries = await agent.readDir('/');
  for (const entry of entries) length += entry.name.length;
  length += Number((await agent.stat('/a.txt')).size) + (await agent.readText('/a.txt')).length + new Blob([await agent.readFile('/b.bin', { maxBytes: 1 << 20, signal })]).size;
  try {
    const exit: Exit = await agent.kill();
    return exit.code + length;
  } catch (error) {
    if (error instanceof CapfsError) {
      const code: CapfsErrorCode = error.code;
      return code === 'ABORTED' ? 0 : code.length;
    }
    throw error;
  }
}
