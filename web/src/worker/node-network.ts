/**
 * The network in Node, for one device of one agent. The owner of a domain decides which address it has, and that may be this machine, a router or a cloud's
 * metadata server. Node's own `fetch` connects to any of them, so requests are made here, and the device's policy is asked about each address first.
 */
import { lookup } from 'node:dns';
import { lookup as lookUp } from 'node:dns/promises';
import http, { type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { Readable, pipeline, type Transform } from 'node:stream';
import zlib from 'node:zlib';

/** Whether a connection for an origin may go to an address. It throws once its device is gone. */
type Allows = (scheme: string, host: string, port: number, address: string) => boolean;

/** A request, as the kernel describes it to `fetch`. */
interface Init {
  method: string;
  headers: [string, string][];
  body?: Blob;
  signal: AbortSignal;
}

/** The parts of a response that the kernel reads. */
interface Answer {
  type: 'default';
  /** Redirects are answers: nothing is followed here. */
  redirected: false;
  url: string;
  status: number;
  statusText: string;
  headers: [string, string][];
  body: ReadableStream<Uint8Array> | null;
}

/** Milliseconds that an idle connection is kept for the next request. */
const IDLE = 4_000;
/** Idle connections that are kept, at most. */
const IDLE_MAX = 32;
/** Content codings of one body, applied one after the other, at most: as natively. Each needs a decoder. */
const CODINGS_MAX = 4;
const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'ws:': 80, 'wss:': 443 };
/** Answers without a body, whatever the server sends. */
const BODILESS: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

/** A name leads to an address that may not be connected to. */
class Refused extends Error {
  readonly code = 'EACCES';
  /** For the audit. */
  readonly hidden: string;

  constructor(host: string, address: string) {
    super(`\`${host}\` leads to an address that is not public and not granted`);
    this.hidden = `\`${host}\` is at ${address}`;
  }
}

export class NodeNetwork {
  /** Connections are not shared with other devices: each has been allowed by this device's policy. */
  readonly #agents = {
    'http:': new http.Agent({ keepAlive: true, maxFreeSockets: IDLE_MAX, timeout: IDLE }),
    'https:': new https.Agent({ keepAlive: true, maxFreeSockets: IDLE_MAX, timeout: IDLE }),
  };

  constructor(private readonly allows: Allows) {}

  /**
   * Asks a server, as `fetch` does it.
   *
   * @throws Refused; TypeError, whose cause says what went wrong
   */
  async fetch(href: string, init: Init): Promise<Answer> {
    const url = new URL(href);
    this.#checkLiteral(url);
    const body = init.body && Buffer.from(await init.body.arrayBuffer());
    try {
      return await this.#send(url, init, body);
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new TypeError('fetch failed', { cause: error });
    }
  }

  /**
   * That every address that a name has now may be connected to. For what looks it up again by itself.
   *
   * @throws Refused; the resolver's error
   */
  async check(href: string): Promise<void> {
    const url = new URL(href);
    this.#checkLiteral(url);
    const host = hostOf(url);
    if (isIP(host) !== 0) return;
    const refused = (await lookUp(host, { all: true })).find(({ address }) => !this.#allowed(url, address));
    if (refused) throw new Refused(url.hostname, refused.address);
  }

  #allowed({ protocol, hostname, port }: URL, address: string): boolean {
    try {
      return this.allows(protocol.slice(0, -1), hostname, port === '' ? PORTS[protocol]! : Number(port), address);
    } catch {
      return false;
    }
  }

  /** Checks a host that is an address: it is connected to without a lookup, in which names are checked. */
  #checkLiteral(url: URL): void {
    const host = hostOf(url);
    if (isIP(host) !== 0 && !this.#allowed(url, host)) throw new Refused(url.hostname, host);
  }

  /** Looks names up for a socket, which connects only to what this returns. */
  #lookupFor(url: URL): LookupFunction {
    return (host, options, answer) => {
      lookup(host, { ...options, all: true }, (error, found) => {
        if (error) return answer(error, []);
        const allowed = found.filter(({ address }) => this.#allowed(url, address));
        const [first] = allowed;
        if (!first) return answer(new Refused(url.hostname, found[0]?.address ?? 'no address'), []);
        if (options.all) answer(null, allowed);
        else answer(null, first.address, first.family);
      });
    };
  }

  #send(url: URL, init: Init, body: Buffer | undefined): Promise<Answer> {
    const secure = url.protocol === 'https:';
    const options: RequestOptions = {
      agent: this.#agents[secure ? 'https:' : 'http:'],
      host: hostOf(url),
      port: url.port === '' ? PORTS[url.protocol] : url.port,
      path: url.pathname + url.search,
      method: init.method,
      headers: headersOf(init.headers, secure),
      lookup: this.#lookupFor(url),
      // As lenient as `fetch` is in Node: a header's value may go on in the next line.
      insecureHTTPParser: true,
      signal: init.signal,
    };
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).request(options);
      let over = false;
      request.on('response', (message) => {
        try {
          resolve(answerOf(message, url, init.method));
        } catch (error) {
          request.destroy();
          reject(error);
        }
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        // The server has closed a connection while nobody used it. What changes nothing there may be asked again.
        const stale = request.reusedSocket && error.code === 'ECONNRESET' && (init.method === 'GET' || init.method === 'HEAD') && !init.signal.aborted;
        if (stale) this.#send(url, init, body).then(resolve, reject);
        else reject(error);
        over = true;
      });
      // Whatever else ends it: a protocol that nobody asked for.
      request.on('close', () => {
        if (!over) reject(new Error('the connection was closed without an answer'));
      });
      request.end(body);
    });
  }
}

/** A host as sockets have it: IPv6 without brackets. */
function hostOf({ hostname }: URL): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** The headers of a request, with those that `fetch` adds in Node. */
function headersOf(given: [string, string][], secure: boolean): Record<string, string> {
  const headers = new Headers(given);
  const own = {
    accept: '*/*',
    'accept-language': '*',
    'sec-fetch-mode': 'cors',
    'user-agent': 'node',
    pragma: 'no-cache',
    'cache-control': 'no-cache',
    'accept-encoding': secure ? 'br, gzip, deflate' : 'gzip, deflate',
  };
  for (const [name, value] of Object.entries(own)) if (!headers.has(name)) headers.set(name, value);
  return Object.fromEntries(headers);
}

function answerOf(message: IncomingMessage, url: URL, method: string): Answer {
  const headers = new Headers();
  for (let at = 0; at + 1 < message.rawHeaders.length; at += 2) headers.append(message.rawHeaders[at]!, message.rawHeaders[at + 1]!);
  const status = message.statusCode ?? 0;
  // It may break off before anybody reads, who then is told.
  message.on('error', () => undefined);
  const bodiless = method === 'HEAD' || BODILESS.has(status);
  if (bodiless) message.resume();
  return {
    type: 'default',
    redirected: false,
    url: url.href,
    status,
    statusText: message.statusMessage ?? '',
    headers: [...headers],
    body: bodiless ? null : streamOf(decoded(message, headers.get('content-encoding'))),
  };
}

/** What `fetch` decodes; anything else is the reader's. */
function decoded(message: IncomingMessage, coding: string | null): Readable {
  const codings = (coding ?? '').toLowerCase().split(',').map((each) => each.trim()).filter((each) => each !== '').reverse();
  const known = codings.every((each) => /^(x-)?gzip$|^deflate$|^br$/.test(each));
  if (!known) return message;
  if (codings.length > CODINGS_MAX) throw new Error(`a body may have ${CODINGS_MAX} codings, one upon the other`);
  return codings.reduce((source: Readable, each) => Readable.from(unpacked(source, each), { objectMode: false }), message);
}

/** What is unpacked is handed on as it comes. An end that is missing is an error, and so is a wrong checksum: it isn't told from being whole otherwise. */
const SYNC = { flush: zlib.constants.Z_SYNC_FLUSH };

async function* unpacked(source: Readable, coding: string): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]() as AsyncIterableIterator<Uint8Array>;
  const first = await chunks.next();
  // Nothing at all is nothing, packed or not.
  if (first.done) return;
  const all = async function* () {
    yield first.value;
    yield* chunks;
  };
  const decoder = decoderOf(coding, first.value[0]!);
  // An error of the source becomes the decoder's, and so reaches the reader.
  pipeline(Readable.from(all(), { objectMode: false }), decoder, () => undefined);
  yield* decoder as AsyncIterable<Uint8Array>;
}

function decoderOf(coding: string, first: number): Transform {
  if (coding === 'br') return zlib.createBrotliDecompress({ flush: zlib.constants.BROTLI_OPERATION_FLUSH });
  if (coding !== 'deflate') return zlib.createGunzip(SYNC);
  // Of `deflate` there are two: with a header, and without. The first byte tells.
  return (first & 0x0f) === 0x08 ? zlib.createInflate(SYNC) : zlib.createInflateRaw(SYNC);
}

/** A body: read as it is asked for, so that its server waits for the reader. */
function streamOf(source: Readable): ReadableStream<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]() as AsyncIterableIterator<Uint8Array>;
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          throw new TypeError('terminated', { cause: error });
        }
      },
      cancel: () => void source.destroy(),
    },
    { highWaterMark: 0 },
  );
}
