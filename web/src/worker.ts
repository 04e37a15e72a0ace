/** The worker's entry in a browser. */
import type { Command, DeviceCommand, DeviceReport, Mail, MailNotice, Report } from './both/protocol.js';
import { serve } from './worker/serve.js';

/** A dedicated worker's global scope, as far as it is used here. */
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
// The page hears of what is thrown, and not of a promise that nobody looks after.
scope.addEventListener('unhandledrejection', ({ reason }) => fail(reason));
