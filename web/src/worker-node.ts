/** The worker's entry in Node. */
import { parentPort } from 'node:worker_threads';
import { NodeNetwork } from './worker/node-network.js';
import { serve } from './worker/serve.js';

// Kernels look for this name. Without it they connect to nothing.
Object.assign(globalThis, { capfsNetwork: NodeNetwork });

const port = parentPort!;
serve({
  post: (message, transfer = []) => port.postMessage(message, transfer),
  listen: (handler) => {
    port.on('message', handler);
  },
});
