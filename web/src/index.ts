/** The package's entry in a browser. */
import { installPlatform } from './platform.js';
import type { DeviceReport, Report } from './protocol.js';

installPlatform({
  startWorker: () => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      listen: (report, failed) => {
        worker.onmessage = (event: MessageEvent<Report | DeviceReport>) => report(event.data);
        worker.onerror = (event) => failed(new Error(event.message || 'the worker could not be loaded'));
        worker.onmessageerror = () => failed(new Error('a message to the page could not be read'));
      },
      terminate: () => worker.terminate(),
    };
  },
  read: (url) => fetch(url),
});

export * from './api.js';
