/** The package's entry in Node. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { installPlatform } from './platform.js';
import type { DeviceReport, Report } from './protocol.js';

/** A scheme and a colon. A letter alone is a drive of Windows. */
const ADDRESS = /^[a-z][a-z0-9+.-]+:/i;

/** What a string or URL stands for: an address, or else the path of a file, whatever characters are in it. */
function addressOf(given: string | URL): URL {
  const text = String(given);
  if (typeof given !== 'string' || (ADDRESS.test(text) && !isAbsolute(text))) return new URL(text);
  return pathToFileURL(resolve(text));
}

/** A file as a response, with a tag for its version. */
async function readFile(address: URL, signal: AbortSignal | undefined): Promise<Response> {
  const path = fileURLToPath(address);
  const { size, mtimeMs, ino } = await stat(path);
  const headers = {
    'Content-Type': path.endsWith('.wasm') ? 'application/wasm' : 'application/octet-stream',
    'Content-Length': String(size),
    ETag: `"${ino}-${size}-${mtimeMs}"`,
  };
  // Opened when it is read: a version that is known already isn't.
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunks = Readable.toWeb(createReadStream(path, { highWaterMark: 1 << 20, ...(signal ? { signal } : {}) }));
        for await (const chunk of chunks) controller.enqueue(chunk as Uint8Array);
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers });
}

installPlatform({
  startWorker: () => {
    // What says how the main script is given is not for the worker's: Node refuses it there.
    const execArgv = process.execArgv.filter((argument) => !argument.startsWith('--input-type'));
    const worker = new Worker(new URL('./worker-node.js', import.meta.url), { execArgv });
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      listen: (report, failed) => {
        worker.on('message', (message: Report | DeviceReport) => report(message));
        worker.on('error', failed);
        worker.on('messageerror', failed);
        worker.on('exit', (code) => failed(new Error(`it has exited with ${code}`)));
        // A spare worker doesn't keep a tool running; who has an agent in it holds it. Listening for messages holds it too.
        worker.unref();
      },
      terminate: () => void worker.terminate(),
      hold: () => worker.ref(),
      release: () => worker.unref(),
    };
  },
  read: async (url, signal) => {
    const address = addressOf(url);
    return address.protocol === 'file:' ? readFile(address, signal) : fetch(address, signal ? { signal } : {});
  },
});

export * from './api.js';
