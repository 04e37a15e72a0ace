/** What differs between a browser and Node; each entry of the package installs its own. */
import { CapfsError, messageOf } from '../both/errors.js';
import type { Command, DeviceCommand, DeviceReport, Mail, MailNotice, Report } from '../both/protocol.js';

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
  /**
   * Starts a worker for one of the two kernels, by its script in the folder `assets`, or beside this module.
   *
   * @throws CapfsError `POLICY_BLOCKED`, `VARIANT_UNAVAILABLE`
   */
  startWorker(full: boolean, assets: URL | undefined): WorkerHandle;
  /** Reads a file from its address; in Node also from a `file:` URL or a path. */
  read(url: string | URL, signal?: AbortSignal): Promise<Response>;
}

let installed: Platform | undefined;

export function installPlatform(platform: Platform): void {
  installed = platform;
}

export function platform(): Platform {
  if (!installed) throw new Error('the package was loaded by a file that is not one of its entries');
  return installed;
}

/**
 * Starts a worker.
 *
 * @throws CapfsError `POLICY_BLOCKED`; `VARIANT_UNAVAILABLE` where none can be started from here
 */
export function startWorker(full: boolean, assets: URL | undefined): WorkerHandle {
  try {
    return platform().startWorker(full, assets);
  } catch (error) {
    if (error instanceof CapfsError) throw error;
    throw new CapfsError('VARIANT_UNAVAILABLE', `agents run in workers, and none can be started here: ${messageOf(error)}`, { cause: error });
  }
}
