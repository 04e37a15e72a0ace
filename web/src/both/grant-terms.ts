/** Grants as objects: the terms of each device, as `devices/` reads them. See docs/capabilities.md. */

/**
 * A capability: a device of `/cap`, and the terms on which the agent has it. A flag as `capfs-host run --grant` takes it, or
 * the same as an object, in which a list repeats its key. What a page's user types is best handed on as a flag.
 */
export type Grant = string | GrantTerms;

/** A grant as an object. A term that its device doesn't know does not compile; a flag that has one is refused with `GRANT_INVALID`. */
export type GrantTerms =
  | FetchGrant
  | WsGrant
  | CryptoGrant
  | OpfsGrant
  | IndexedDbGrant
  | DomGrant
  | ConsoleGrant
  | RandomGrant
  | TaskGrant;

/** The devices that can be granted. */
export type DeviceName = GrantTerms['device'];

/** One value, or several that all count. */
export type OneOrMore<T> = T | readonly T[];
/** Bytes, bare or with a unit. */
export type Size = number | `${number}` | `${number}${'B' | 'KiB' | 'MiB' | 'GiB' | 'KB' | 'MB' | 'GB'}`;
/** A length of time; a bare number is milliseconds. */
export type Duration = number | `${number}` | `${number}${'ms' | 's' | 'm' | 'h'}`;
/** So many in a second or in a minute. */
export type Rate = `${number}/${'s' | 'm'}`;
/** As flags have it, or as programs do. */
export type YesNo = boolean | 'yes' | 'no';
/** A whole number that is at least 1. */
export type Count = number | `${number}`;

/** What every grant has. */
interface Granted<Device extends string> {
  device: Device;
  /** Where it appears, an absolute path; its usual place unless told. */
  at?: string;
}

/** Terms of what speaks with servers. */
interface Outside {
  /**
   * Which servers: `https://example.com`, with `*.` before a name for everything below it, `:8443` or `:*` behind it for
   * other ports; `*` is every public one.
   */
  origin: OneOrMore<string>;
  /** `ORIGIN NAME: VALUE`: a header that the host adds for an origin, such as a key. The agent sees it only where that server repeats it. */
  header?: OneOrMore<`${string} ${string}: ${string}`>;
  /** Natively: addresses that are not public and may be connected to, such as `10.0.0.0/8`. A browser knows no addresses. */
  network?: OneOrMore<string>;
}

/** HTTP requests: `/cap/fetch`. */
export interface FetchGrant extends Granted<'fetch'>, Outside {
  /** Which methods, or `*`; `GET` and `HEAD` unless told. */
  method?: OneOrMore<string>;
  /** Bytes of an answer, decompressed; 100 MiB unless told. */
  'max-body'?: Size;
  /** Bytes of a request's body; 16 MiB unless told. */
  'max-request'?: Size;
  /** Requests in a second or minute; more wait for their turn. Without limit unless told. */
  rate?: Rate;
  /** Requests under way, until their bodies are closed; 32 unless told, one more is `EMFILE`. */
  concurrency?: Count;
  /** How long the headers of an answer may take, and each further part of its body; 30 s unless told. */
  timeout?: Duration;
  /** `manual` gives redirects to the agent as answers; they are followed unless told, each checked as a request is. */
  redirect?: 'follow' | 'manual';
}

/** WebSocket connections: `/cap/ws`. */
export interface WsGrant extends Granted<'ws'>, Outside {
  /** Bytes of a message, either way; 4 MiB unless told, 16 MiB at most. */
  'max-message'?: Size;
  /** Connections at once; 16 unless told, one more is `EMFILE`. */
  connections?: Count;
  /** How long the handshake may take; 30 s unless told. */
  timeout?: Duration;
}

/** The algorithms of `/cap/crypto`. */
export type AlgorithmName = 'ed25519' | 'ecdsa-p256' | 'schnorr-secp256k1' | 'hmac-sha256' | 'aes-gcm' | 'hkdf' | 'x25519';

/** Keys that never leave, digests, random bytes: `/cap/crypto`. */
export interface CryptoGrant extends Granted<'crypto'> {
  /** Which algorithms; all of them unless told. */
  algorithm?: OneOrMore<AlgorithmName>;
  /** Keys at once, and keys that are kept; 64 unless told. */
  keys?: Count;
  /** Whether keys can be kept under a name; they can unless told. */
  persist?: YesNo;
  /** Whose keys are kept and found: 1 to 64 of `a-z 0-9 . _ -`; the agent's own unless told, by its identity. */
  name?: string;
  /** Whether secrets can be imported; they can unless told. Public keys always can. */
  import?: YesNo;
}

/** Files that stay: `/cap/storage/opfs`. */
export interface OpfsGrant extends Granted<'opfs'> {
  /** Which tree; one that belongs to the agent's identity unless told. */
  name?: string;
  /** Bytes that the contents of files may take, in blocks of 4 KiB; 1 GiB unless told, then `EDQUOT`. */
  quota?: Size;
  /** Everything unless told. */
  rights?: 'ro' | 'rw';
  /** Opens a damaged tree with what can be read of it. */
  repair?: YesNo;
}

/** Databases: `/cap/storage/indexeddb`. */
export interface IndexedDbGrant extends Granted<'indexeddb'> {
  /** How many there may be; 16 unless told. */
  databases?: Count;
  /** Bytes that each may take, keys and indexes included; 64 MiB unless told. */
  quota?: Size;
  /** Whose databases: 1 to 64 letters, digits, `.`, `_`, `-`; the agent's own unless told, by its identity. */
  name?: string;
}

/** A part of the page: `/cap/dom`, over the element that `spawn` is given as `dom`. */
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

/** A console: `/cap/console`. */
export interface ConsoleGrant extends Granted<'console'> {
  /** Whether it can be read; it can unless told. */
  input?: YesNo;
  /** Whether keys can be had as they are typed; they can unless told. */
  raw?: YesNo;
  /** Whether it takes messages; it does unless told. */
  messages?: YesNo;
}

/** Bytes that can't be guessed: `/cap/random`. It has no terms. */
export interface RandomGrant extends Granted<'random'> {}

/** Child agents: `/task`. */
export interface TaskGrant extends Granted<'task'> {
  /** Tasks at once, ended ones included until they are deleted; 64 unless told, then `EMFILE`. */
  children?: Count;
}
