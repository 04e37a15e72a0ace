/** Grants of each device as objects. Written by `node scripts/devices.mjs` from the `device.json` of each device. See docs/capabilities.md. */
import type { Count, Duration, OneOrMore, Rate, Size, YesNo } from './grant-terms.js';

/** A grant as an object. A term that its device doesn't know does not compile; a flag that has one is refused with `GRANT_INVALID`. */
export type GrantTerms =
  | ConsoleGrant
  | CounterGrant
  | CryptoGrant
  | DomGrant
  | FetchGrant
  | IndexedDbGrant
  | OpfsGrant
  | RandomGrant
  | TaskGrant
  | WsGrant;

/** What every grant has. */
interface Granted<Device extends string> {
  device: Device;
  /** Where it appears, an absolute path; its usual place unless told. */
  at?: string;
}

/** What `algorithm` of `/cap/crypto` can be. */
export type AlgorithmName = 'ed25519' | 'ecdsa-p256' | 'schnorr-secp256k1' | 'hmac-sha256' | 'aes-gcm' | 'hkdf' | 'x25519';

/** A console: lines, keys, messages, at `/cap/console`. */
export interface ConsoleGrant extends Granted<'console'> {
  /** Whether it can be read; it can unless told. */
  input?: YesNo;
  /** Whether keys can be had as they are typed; they can unless told. */
  raw?: YesNo;
  /** Whether it takes messages; it does unless told. */
  messages?: YesNo;
}

/** Numbers by name, which an agent and its children count together, at `/cap/counter`. */
export interface CounterGrant extends Granted<'counter'> {
  /** How many numbers there may be; 64 unless told, 4,096 at most. */
  counters?: Count;
  /** Everything unless told. */
  rights?: 'ro' | 'rw';
}

/** Digests, keys that never leave, random bytes, at `/cap/crypto`. */
export interface CryptoGrant extends Granted<'crypto'> {
  /** Which algorithms; all of them unless told. */
  algorithm?: OneOrMore<AlgorithmName>;
  /** Keys at once, and keys that are kept; 64 unless told. */
  keys?: Count;
  /** Whose keys are kept and found: 1 to 64 of `a-z 0-9 . _ -`; the agent's own unless told, by its identity. */
  name?: string;
  /** Whether keys can be kept under a name; they can unless told. */
  persist?: YesNo;
  /** Whether secrets can be imported; they can unless told. Public keys always can. */
  import?: YesNo;
}

/** One element of a page and what is below it, at `/cap/dom`. */
export interface DomGrant extends Granted<'dom'> {
  /** `raw` puts markup onto the page as it is, script included; it is sanitised unless told. */
  html?: 'safe' | 'raw';
  /** Elements that may have numbers; 10,000 unless told, then `EMFILE`. */
  elements?: Count;
  /** Origins from which images and media may be loaded; none unless told. */
  load?: OneOrMore<string>;
  /** Whether what the agent added goes when it ends; it does unless told. */
  cleanup?: YesNo;
}

/** HTTP requests, at `/cap/fetch`. */
export interface FetchGrant extends Granted<'fetch'> {
  /** Which servers: `https://example.com`, with `*.` before a name for everything below it, `:8443` or `:*` behind it for other ports; `*` is every public one. */
  origin: OneOrMore<string>;
  /** Which methods, or `*`; `GET` and `HEAD` unless told. */
  method?: OneOrMore<string>;
  /** Bytes of an answer, decompressed; 100 MiB unless told. */
  'max-body'?: Size;
  /** Bytes of a request's body; 16 MiB unless told. */
  'max-request'?: Size;
  /** Requests in a second or minute, redirects included (in a browser, which hides them, all of one request are one more); more wait for their turn, or end in `ETIMEDOUT` where `timeout` would not be enough. Without limit unless told. */
  rate?: Rate;
  /** Requests under way, until their bodies are closed; 32 unless told, one more is `EMFILE`. A body of a request that the server hasn't taken by then is sent for 5 s more and counts until then: one more request waits for that. */
  concurrency?: Count;
  /** How long the headers of an answer may take, and each further part of its body; 30 s unless told. The agent can only shorten it. */
  timeout?: Duration;
  /** `manual` gives redirects to the agent as answers, to be followed by itself; they are followed unless told, each checked as a request is. */
  redirect?: 'follow' | 'manual';
  /** `ORIGIN NAME: VALUE`. A header that the host adds for an origin, such as a key. No file of the agent's has it, and it goes to no other origin; a server that repeats what it was sent (in an echo, an error page) shows it all the same. An ORIGIN of which nothing is granted is an error. */
  header?: OneOrMore<`${string} ${string}: ${string}`>;
  /** Natively and in Node: addresses that are not public and may be connected to, such as `10.0.0.0/8`. A browser knows no addresses. */
  network?: OneOrMore<string>;
}

/** Databases: stores of records, indexes, ranges, at `/cap/storage/indexeddb`. */
export interface IndexedDbGrant extends Granted<'indexeddb'> {
  /** How many there may be; 16 unless told. */
  databases?: Count;
  /** Whose databases: 1 to 64 letters, digits, `.`, `_`, `-`; the agent's own unless told, by its identity. */
  name?: string;
  /** Bytes that each may take, keys and indexes included; 64 MiB unless told. */
  quota?: Size;
}

/** Files that stay, with `quota` and `policy` beside them, at `/cap/storage/opfs`. */
export interface OpfsGrant extends Granted<'opfs'> {
  /** Which tree; one that belongs to the agent's identity unless told. Agents with one name have one tree, and take turns. */
  name?: string;
  /** Bytes that the contents of files may take, in blocks of 4 KiB; 1 GiB unless told, then `EDQUOT`. */
  quota?: Size;
  /** Everything unless told. */
  rights?: 'ro' | 'rw';
  /** Opens a damaged tree with what can be read of it. */
  repair?: YesNo;
}

/** Bytes that can't be guessed, without end, at `/cap/random`. It has no terms. */
export interface RandomGrant extends Granted<'random'> {}

/** Child agents, at `/task`. */
export interface TaskGrant extends Granted<'task'> {
  /** Tasks at once, ended ones included until they are deleted; 64 unless told, then `EMFILE`. */
  children?: Count;
}

/** WebSocket connections, at `/cap/ws`. */
export interface WsGrant extends Granted<'ws'> {
  /** Which servers (`ws`, `wss`): `wss://example.com`, with `*.` before a name for everything below it, `:8443` or `:*` behind it for other ports; `*` is every public one. */
  origin: OneOrMore<string>;
  /** Bytes of a message, either way; 4 MiB unless told, 16 MiB at most. Longer ones are `EMSGSIZE`, and one that comes closes the connection with 1009 (4009 in a browser). */
  'max-message'?: Size;
  /** Connections at once; 16 unless told, one more is `EMFILE`. One that is ending counts until it is over, and one more waits for that. */
  connections?: Count;
  /** How long the handshake may take; 30 s unless told. Natively it is `EPROTO` where the server sends more than 1 MiB before its end. */
  timeout?: Duration;
  /** `ORIGIN NAME: VALUE`. A header of the handshake that the host adds, natively, as for `fetch`; a browser refuses the grant. */
  header?: OneOrMore<`${string} ${string}: ${string}`>;
  /** Addresses that are not public and may be connected to, as for `fetch`, and checked alike. In Node every address of a name must be let through, and is checked before the socket looks the name up again by itself: one that changes its mind just then isn't caught. */
  network?: OneOrMore<string>;
}
