/** The package's entry in a browser. */
import { CapfsError } from './both/errors.js';
import type { DeviceReport, Report } from './both/protocol.js';
import { installPlatform } from './page/platform.js';
import { trustedWorker } from './page/trusted.js';

/** Where a worker's script lies. Each is whole, so that bundlers can treat it as a file; the addresses are literal, so that they find it. */
function scriptOf(full: boolean, assets: URL | undefined): URL {
  if (assets) return new URL(full ? 'worker-full.js' : 'worker.js', assets);
  return full ? new URL('./worker-full.js', import.meta.url) : new URL('./worker.js', import.meta.url);
}

/**
 * Loads a worker's script of another origin, as a script that a worker may load; what comes before it is there waits. Not by a static
 * import, which a policy counts as one more worker (`worker-src`).
 */
const loader = (script: string): string => `const early = [];
onmessage = (event) => early.push(event);
import(${JSON.stringify(script)}).then(
  () => early.forEach((event) => onmessage(event)),
  (error) => setTimeout(() => { throw error; }),
);`;

/** Starts a worker by a script of any origin; one of another origin by a script of this one that imports it. */
function start(script: URL): { worker: Worker; started: () => void; blocked: string } {
  if (typeof Worker !== 'function') {
    const who = 'a page or a dedicated worker can, a shared worker or a service worker can not';
    throw new CapfsError('VARIANT_UNAVAILABLE', `agents run in workers, and there are none to be started here: ${who}`);
  }
  // The page's origin, not that of its address: in a sandboxed frame it has none, and no worker of any server's is its own.
  const own = script.origin === self.origin || script.protocol === 'blob:';
  // Where the page has no origin, what it makes a blob of is none's that a browser would load a module for.
  const blob = !own && self.origin !== 'null';
  const made = blob
    ? URL.createObjectURL(new Blob([loader(script.href)], { type: 'text/javascript' }))
    : `data:text/javascript,${encodeURIComponent(loader(script.href))}`;
  const address = own ? script.href : made;
  const started = () => {
    if (blob) URL.revokeObjectURL(address);
  };
  const blocked = own
    ? `the worker ${script.href} could not be loaded`
    : `the worker ${script.href} of another origin could not be loaded: its server must allow that (CORS), and the page's policy, if it has one, ` +
      `worker-src ${blob ? 'blob:' : 'data:'} and script-src ${script.origin}`;
  try {
    return { worker: new Worker(trustedWorker(address) as string, { type: 'module' }), started, blocked };
  } catch (error) {
    started();
    const types = error instanceof TypeError ? "; under Trusted Types it must allow the policy capfs (trusted-types capfs)" : '';
    throw new CapfsError('POLICY_BLOCKED', `the page's policy lets no worker be made of ${script.href}: ${(error as Error).message}${types}`, { cause: error });
  }
}

installPlatform({
  startWorker: (full, assets) => {
    const { worker, started, blocked } = start(scriptOf(full, assets));
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      listen: (report, failed) => {
        let loaded = false;
        worker.onmessage = (event: MessageEvent<Report | DeviceReport>) => {
          loaded = true;
          started();
          report(event.data);
        };
        worker.onerror = ({ message }) => {
          started();
          failed(loaded ? new Error(message || 'it has thrown an error') : new CapfsError('FETCH_FAILED', message ? `${blocked}: ${message}` : blocked));
        };
        worker.onmessageerror = () => failed(new Error('a message to the page could not be read'));
      },
      terminate: () => {
        started();
        worker.terminate();
      },
    };
  },
  read: (url, signal) => fetch(url, signal ? { signal } : {}),
});

export * from './page/api.js';
