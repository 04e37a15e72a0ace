/** The package's entry in Node. */
import type { BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import type { DeviceReport, Report } from './both/protocol.js';
import { installPlatform } from './page/platform.js';

/** A scheme and a colon. A letter alone is a drive of Windows. */
const ADDRESS = /^[a-z][a-z0-9+.-]+:/i;

/** The address that a string or URL stands for: what isn't one is the path of a file, whatever characters are in it. */
function addressOf(given: string | URL): URL {
  const text = String(given);
  if (typeof given !== 'string' || (ADDRESS.test(text) && !isAbsolute(text))) return new URL(text);
  return pathToFileURL(resolve(text));
}

/** Bytes of a file that are read at once: one piece is in memory at a time, however long the file is. */
const PIECE = 1 << 20;

/** Nanoseconds for which a file must have been left alone for its time stamps to tell one content from another, as natively (`SETTLED` in `host/programs.rs`). */
const SETTLED = 2_000_000_000n;

/**
 * What tells a file's contents from others without reading them, by the rule that holds natively as well: where it lies, its length, and when its contents and
 * what is known of it were changed last (which nothing can set back). Nothing does for a file that was changed just now: the time stamps are as coarse as a tick of some clock.
 */
function versionOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string | undefined {
  const changed = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  const settled = changed < BigInt(Date.now()) * 1_000_000n - SETTLED;
  return settled ? `"${[dev, ino, size, mtimeNs, ctimeNs].join('-')}"` : undefined;
}

/** A file as a response, with a tag for its version. When the signal is aborted, reading what is left fails with its reason. */
async function readFile(address: URL, signal: AbortSignal | undefined): Promise<Response> {
  const path = fileURLToPath(address);
  // Opened before anything is told of it: another file may have its name by the time its body is read. Not by a stream of Node: if its signal is aborted from the
  // start, that emits an error before anything can listen, which ends the process.
  let file: FileHandle | undefined = await open(path);
  const close = async () => {
    const opened = file;
    file = undefined;
    await opened?.close();
  };
  let stats: BigIntStats;
  try {
    stats = await file.stat({ bigint: true });
    if (stats.isDirectory()) throw new Error(`EISDIR: ${path} is a directory`);
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
  const version = versionOf(stats);
  const headers = {
    'Content-Type': path.endsWith('.wasm') ? 'application/wasm' : 'application/octet-stream',
    'Content-Length': String(stats.size),
    ...(version === undefined ? {} : { ETag: version }),
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          signal?.throwIfAborted();
          const { buffer, bytesRead } = await file!.read(new Uint8Array(PIECE));
          // Cancelled meanwhile.
          if (!file) return;
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
 * A worker inherits the options of its process. But `--input-type`, which belongs to `-e`, is refused for a worker whose script is a file, and a list without it
 * is refused too if it has options of V8 or of the whole process. In that case the worker gets no list, and only has those, which apply to every thread.
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
        // An idle worker must not keep the process running; one with an agent does, by `hold`. After `on`, as listening for messages holds it too.
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
