/** The worker's entry in Node. */
import { parentPort } from 'node:worker_threads';
import { serve } from './worker-core.js';

const port = parentPort!;
serve({
  post: (message, transfer = []) => port.postMessage(message, transfer),
  listen: (handler) => {
    port.on('message', handler);
  },
});
