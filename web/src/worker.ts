/** The worker's entry in a browser. */
import type { Command, DeviceCommand, DeviceReport, Mail, MailNotice, Report } from './protocol.js';
import { serve } from './worker-core.js';

/** A dedicated worker's global scope, as far as it is used here. */
interface Scope {
  postMessage(message: Report | DeviceReport, transfer: ArrayBuffer[]): void;
  onmessage: ((event: MessageEvent<Command | DeviceCommand | Mail | MailNotice>) => void) | null;
}
const scope = globalThis as unknown as Scope;

serve({
  post: (message, transfer = []) => scope.postMessage(message, transfer),
  listen: (handler) => {
    scope.onmessage = (event) => handler(event.data);
  },
});
