/** The package's entry in Node. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import type { DeviceReport, Report } from './both/protocol.js';
import { installPlatform } from './page/platform.js';

/** A scheme and a colon. A letter alone is a drive of Windows. */
const ADDRESS = /^[a-z][a-z0-9+.-]+:/i;

/** What a string or URL stands for: an address, or else the path of a file, whatever characters are in it. */
function addressOf(given: string | URL): URL {
  const text = String(given);
  if (typeof given !== 'string' || (ADDRESS.test(text) && !isAbsolute(text))) return new URL(text);
  return pathToFileURL(resolve(text));
}

/** Bytes of a file that are read at once: one piece is held at a time, whatever the file's length. */
const PIECE = 1 << 20;

/** A file as a response, with a tag for its version. When the signal is aborted, reading what is left fails with its reason. */
async function readFile(address: URL, signal: AbortSignal | undefined): Promise<Response> {
  const path = fileURLToPath(address);
  const { size, mtimeMs, ino } = await stat(path);
  const headers = {
    'Content-Type': path.endsWith('.wasm') ? 'application/wasm' : 'application/octet-stream',
    'Content-Length': String(size),
    ETag: `"${ino}-${size}-${mtimeMs}"`,
  };
  // Opened when it is read: a version that is known already isn't. No stream of Node's: one whose signal is aborted as it is made
  // emits its error before anybody can listen, and that ends the process.
  let file: FileHandle | undefined;
  let over = false;
  const close = async () => {
    over = true;
    const opened = file;
    file = undefined;
    await opened?.close();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          signal?.throwIfAborted();
          file ??= await open(path);
          // Nobody wants it any more, since it was being opened.
          if (over) return await close();
          const { buffer, bytesRead } = await file.read(new Uint8Array(PIECE));
          if (over) return;
          signal?.throwIfAborted();
          if (bytesRead > 0) return controller.enqueue(buffer.subarray(0, bytesRead));
          await close();
          controller.close();
        } catch (error) {
          await close().catch(() => undefined);
          throw error;
        }
      },
      cancel: close,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers });
}

/**
 * A worker has the options of its process. The one that says how a script is given by `-e` is refused where a worker's script is a file, though; and a list of
 * others is refused as well, as soon as one of them is V8's or the process's own. So then it has those alone, which no worker can be without.
 */
function workerOptions(): WorkerOptions {
  const { NODE_OPTIONS = '', ...env } = process.env;
  const given = [...process.execArgv, ...NODE_OPTIONS.split(/\s+/)];
  return given.some((option) => /^"?--input-type\b/.test(option)) ? { execArgv: [], env } : {};
}

installPlatform({
  startWorker: () => {
    const worker = new Worker(new URL('./worker-node.js', import.meta.url), workerOptions());
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

export * from './page/api.js';
