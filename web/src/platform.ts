/** What differs between a browser and Node; each entry of the package installs its own. */
import type { Command, DeviceCommand, DeviceReport, Mail, MailNotice, Report } from './protocol.js';

/** A worker as the pool sees it. */
export interface WorkerHandle {
  post(message: Command | DeviceCommand | Mail | MailNotice, transfer?: ArrayBuffer[]): void;
  /** Called once, before anything is posted. */
  listen(report: (message: Report | DeviceReport) => void, failed: (error: Error) => void): void;
  terminate(): void;
  /** Keeps the process running while an agent does; for Node. */
  hold?(): void;
  release?(): void;
}

export interface Platform {
  startWorker(): WorkerHandle;
  /** Reads what lies at an address; a `file:` URL in Node. */
  read(url: string | URL): Promise<Response>;
}

let installed: Platform | undefined;

export function installPlatform(platform: Platform): void {
  installed = platform;
}

export function platform(): Platform {
  if (!installed) throw new Error('the package was loaded by a file that is not one of its entries');
  return installed;
}
