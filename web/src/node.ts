/** The package's entry in Node. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { installPlatform } from './platform.js';
import type { DeviceReport, Report } from './protocol.js';

installPlatform({
  startWorker: () => {
    const worker = new Worker(new URL('./worker-node.js', import.meta.url));
    // A spare worker alone doesn't keep a tool running; an agent does, by the promise of its exit.
    worker.unref();
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      listen: (report, failed) => {
        worker.on('message', (message: Report | DeviceReport) => report(message));
        worker.on('error', failed);
        worker.on('messageerror', failed);
      },
      terminate: () => void worker.terminate(),
      hold: () => worker.ref(),
      release: () => worker.unref(),
    };
  },
  read: async (url) => {
    const address = new URL(url, `file://${process.cwd()}/`);
    if (address.protocol !== 'file:') return fetch(address);
    const headers = { 'Content-Type': address.pathname.endsWith('.wasm') ? 'application/wasm' : 'application/octet-stream' };
    return new Response(await readFile(fileURLToPath(address)), { headers });
  },
});

export * from './api.js';
