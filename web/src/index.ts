/** The package's entry in a browser. */
import { CapfsError } from './both/errors.js';
import type { DeviceReport, Report } from './both/protocol.js';
import { installPlatform } from './page/platform.js';
import { trustedWorker } from './page/trusted.js';

/** The address of a worker's script. Each script is one file without imports; the addresses are literals, so that bundlers find them. */
function scriptOf(full: boolean, assets: URL | undefined): URL {
  if (assets) return new URL(full ? 'worker-full.js' : 'worker.js', assets);
  return full ? new URL('./worker-full.js', import.meta.url) : new URL('./worker.js', import.meta.url);
}

/**
 * A script of this origin that imports a worker's script of another one. Messages that arrive before that is loaded are kept. Not by a static
 * import, which a policy checks as another worker (`worker-src`).
 */
const loader = (script: string): string => `const early = [];
onmessage = (event) => early.push(event);
import(${JSON.stringify(script)}).then(
  () => early.forEach((event) => onmessage(event)),
  (error) => setTimeout(() => { throw error; }),
);`;

/** Starts a worker from a script of any origin; one of another origin by way of `loader`. */
function start(script: URL): { worker: Worker; started: () => void; blocked: string } {
  if (typeof Worker !== 'function') {
    const who = 'a page or a dedicated worker can, a shared worker or a service worker can not';
    throw new CapfsError('VARIANT_UNAVAILABLE', `agents run in workers, and there are none to be started here: ${who}`);
  }
  // The page's origin, not that of its address: in a sandboxed frame the origin is opaque, and every script is of another one.
  const own = script.origin === self.origin || script.protocol === 'blob:';
  // A page with an opaque origin can't start a module worker from a blob: then it is a `data:` URL.
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
