/** The worker's entry in a browser. */
import type { Command, DeviceCommand, DeviceReport, Mail, MailNotice, Report } from './both/protocol.js';
import { serve } from './worker/serve.js';

/** The parts of a dedicated worker's global scope that are used here. */
interface Scope {
  postMessage(message: Report | DeviceReport, transfer: ArrayBuffer[]): void;
  addEventListener(type: 'unhandledrejection', listener: (event: PromiseRejectionEvent) => void): void;
  onmessage: ((event: MessageEvent<Command | DeviceCommand | Mail | MailNotice>) => void) | null;
}
const scope = globalThis as unknown as Scope;

const fail = serve({
  post: (message, transfer = []) => scope.postMessage(message, transfer),
  listen: (handler) => {
    scope.onmessage = (event) => handler(event.data);
  },
});
// A thrown error reaches the page by itself (`onerror`), an unhandled rejection doesn't.
scope.addEventListener('unhandledrejection', ({ reason }) => fail(reason));
