//! The devices that there are. Written by `node scripts/devices.mjs` from the `device.json` of each device.

use crate::capability::Capability;
use crate::description::{Description, Need, Parts, Term};
use crate::grant::{Grant, GrantError};
use crate::{console, counter, crypto, dom, fetch, indexeddb, random, storage, task, ws};

/// The devices that can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A console: lines, keys, messages.
    Console,
    /// Numbers by name, which an agent and its children count together.
    Counter,
    /// Digests, keys that never leave, random bytes.
    Crypto,
    /// One element of a page and what is below it.
    Dom,
    /// HTTP requests.
    Fetch,
    /// Databases: stores of records, indexes, ranges.
    IndexedDb,
    /// Files that stay, with `quota` and `policy` beside them.
    Opfs,
    /// Bytes that can't be guessed, without end.
    Random,
    /// Child agents.
    Task,
    /// WebSocket connections.
    Ws,
}

impl DeviceKind {
    /// All of them.
    pub const ALL: [DeviceKind; 10] = [
        DeviceKind::Console,
        DeviceKind::Counter,
        DeviceKind::Crypto,
        DeviceKind::Dom,
        DeviceKind::Fetch,
        DeviceKind::IndexedDb,
        DeviceKind::Opfs,
        DeviceKind::Random,
        DeviceKind::Task,
        DeviceKind::Ws,
    ];

    /// Its name in a grant.
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Console => "console",
            DeviceKind::Counter => "counter",
            DeviceKind::Crypto => "crypto",
            DeviceKind::Dom => "dom",
            DeviceKind::Fetch => "fetch",
            DeviceKind::IndexedDb => "indexeddb",
            DeviceKind::Opfs => "opfs",
            DeviceKind::Random => "random",
            DeviceKind::Task => "task",
            DeviceKind::Ws => "ws",
        }
    }

    /// Where it appears unless the grant says otherwise.
    pub const fn path(self) -> &'static str {
        match self {
            DeviceKind::Console => "/cap/console",
            DeviceKind::Counter => "/cap/counter",
            DeviceKind::Crypto => "/cap/crypto",
            DeviceKind::Dom => "/cap/dom",
            DeviceKind::Fetch => "/cap/fetch",
            DeviceKind::IndexedDb => "/cap/storage/indexeddb",
            DeviceKind::Opfs => "/cap/storage/opfs",
            DeviceKind::Random => "/cap/random",
            DeviceKind::Task => "/task",
            DeviceKind::Ws => "/cap/ws",
        }
    }

    /// The keys of its terms, without `at`.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            DeviceKind::Console => &["input", "raw", "messages"],
            DeviceKind::Counter => &["counters", "rights"],
            DeviceKind::Crypto => &["algorithm", "keys", "name", "persist", "import"],
            DeviceKind::Dom => &["html", "elements", "load", "cleanup"],
            DeviceKind::Fetch => &["origin", "method", "max-body", "max-request", "rate", "concurrency", "timeout", "redirect", "header", "header-file", "header-env", "network"],
            DeviceKind::IndexedDb => &["databases", "name", "quota"],
            DeviceKind::Opfs => &["name", "quota", "rights", "repair"],
            DeviceKind::Random => &[],
            DeviceKind::Task => &["children"],
            DeviceKind::Ws => &["origin", "max-message", "connections", "timeout", "header", "header-file", "header-env", "network"],
        }
    }

    /// What it needs of a machine to be there at all.
    pub const fn need(self) -> Need {
        match self {
            DeviceKind::Console => Need::Terminal("this host has no console"),
            DeviceKind::Counter => Need::Nothing,
            DeviceKind::Crypto => Need::Nothing,
            DeviceKind::Dom => Need::Page("there is no page here"),
            DeviceKind::Fetch => Need::Nothing,
            DeviceKind::IndexedDb => Need::State("databases need a folder to be kept in: --state DIR"),
            DeviceKind::Opfs => Need::State("stored files need a folder that they are in: --state DIR"),
            DeviceKind::Random => Need::Nothing,
            DeviceKind::Task => Need::Nothing,
            DeviceKind::Ws => Need::Nothing,
        }
    }

    /// What there is to say of it to people.
    pub const fn description(self) -> &'static Description {
        match self {
            DeviceKind::Console => &CONSOLE,
            DeviceKind::Counter => &COUNTER,
            DeviceKind::Crypto => &CRYPTO,
            DeviceKind::Dom => &DOM,
            DeviceKind::Fetch => &FETCH,
            DeviceKind::IndexedDb => &INDEXEDDB,
            DeviceKind::Opfs => &OPFS,
            DeviceKind::Random => &RANDOM,
            DeviceKind::Task => &TASK,
            DeviceKind::Ws => &WS,
        }
    }
}

/// Keys whose values anybody may see, of whatever device.
pub const PUBLIC: &[&str] = &["algorithm", "children", "cleanup", "concurrency", "connections", "counters", "databases", "elements", "header-env", "header-file", "html", "import", "input", "keys", "load", "max-body", "max-message", "max-request", "messages", "method", "name", "network", "origin", "persist", "quota", "rate", "raw", "redirect", "repair", "rights", "timeout"];

/// Reads the terms of a grant as its device will, on a host that has everything.
///
/// # Errors
/// What is wrong with the first of them.
pub fn check(grant: &Grant) -> Result<(), GrantError> {
    match grant.device {
        DeviceKind::Console => console::check(grant),
        DeviceKind::Counter => counter::check(grant),
        DeviceKind::Crypto => crypto::check(grant),
        DeviceKind::Dom => dom::check(grant),
        DeviceKind::Fetch => fetch::check(grant),
        DeviceKind::IndexedDb => indexeddb::check(grant),
        DeviceKind::Opfs => storage::check(grant),
        DeviceKind::Random => random::check(grant),
        DeviceKind::Task => task::check(grant),
        DeviceKind::Ws => ws::check(grant),
    }
}

/// The same of devices that the small kernel has, too; `None` for others, of which it is to hold no code.
pub fn check_small(grant: &Grant) -> Option<Result<(), GrantError>> {
    Some(match grant.device {
        DeviceKind::Console => console::check(grant),
        DeviceKind::Opfs => storage::check(grant),
        DeviceKind::Random => random::check(grant),
        _ => return None,
    })
}

/// Makes a device that needs nothing of a host but its parts; `None` for others.
pub fn build(grant: &Grant, parts: &Parts) -> Option<Result<Capability, GrantError>> {
    Some(match grant.device {
        DeviceKind::Counter => counter::build(grant, parts),
        DeviceKind::Random => random::build(grant, parts),
        _ => return None,
    })
}

/// The same of devices that the small kernel has, too.
pub fn build_small(grant: &Grant, parts: &Parts) -> Option<Result<Capability, GrantError>> {
    Some(match grant.device {
        DeviceKind::Random => random::build(grant, parts),
        _ => return None,
    })
}

const CONSOLE: Description = Description {
    about: "a console: lines, keys, messages",
    terms: &[
        Term {
            key: "input",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "no",
            about: "Whether it can be read; it can unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "raw",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "no",
            about: "Whether keys can be had as they are typed; they can unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "messages",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "no",
            about: "Whether it takes messages; it does unless told.",
            many: false,
            needed: false,
        },
    ],
};
const COUNTER: Description = Description {
    about: "numbers by name, which an agent and its children count together",
    terms: &[
        Term {
            key: "counters",
            value: "N",
            choices: &[],
            example: "8",
            about: "How many numbers there may be; 64 unless told, 4,096 at most.",
            many: false,
            needed: false,
        },
        Term {
            key: "rights",
            value: "ro|rw",
            choices: &["ro", "rw"],
            example: "ro",
            about: "Everything unless told.",
            many: false,
            needed: false,
        },
    ],
};
const CRYPTO: Description = Description {
    about: "digests, keys that never leave, random bytes",
    terms: &[
        Term {
            key: "algorithm",
            value: "ed25519|ecdsa-p256|schnorr-secp256k1|hmac-sha256|aes-gcm|hkdf|x25519",
            choices: &["ed25519", "ecdsa-p256", "schnorr-secp256k1", "hmac-sha256", "aes-gcm", "hkdf", "x25519"],
            example: "ed25519",
            about: "Which algorithms; all of them unless told.",
            many: true,
            needed: false,
        },
        Term {
            key: "keys",
            value: "N",
            choices: &[],
            example: "4",
            about: "Keys at once, and keys that are kept; 64 unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "name",
            value: "NAME",
            choices: &[],
            example: "shared",
            about: "Whose keys are kept and found: 1 to 64 of `a-z 0-9 . _ -`; the agent's own unless told, by its identity.",
            many: false,
            needed: false,
        },
        Term {
            key: "persist",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "no",
            about: "Whether keys can be kept under a name; they can unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "import",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "no",
            about: "Whether secrets can be imported; they can unless told. Public keys always can.",
            many: false,
            needed: false,
        },
    ],
};
const DOM: Description = Description {
    about: "one element of a page and what is below it",
    terms: &[
        Term {
            key: "html",
            value: "safe|raw",
            choices: &["safe", "raw"],
            example: "safe",
            about: "`raw` puts markup onto the page as it is, script included; it is sanitised unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "elements",
            value: "N",
            choices: &[],
            example: "100",
            about: "Elements that may have numbers; 10,000 unless told, then `EMFILE`.",
            many: false,
            needed: false,
        },
        Term {
            key: "load",
            value: "PATTERN",
            choices: &[],
            example: "https://example.com",
            about: "Origins from which images and media may be loaded; none unless told.",
            many: true,
            needed: false,
        },
        Term {
            key: "cleanup",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "no",
            about: "Whether what the agent added goes when it ends; it does unless told.",
            many: false,
            needed: false,
        },
    ],
};
const FETCH: Description = Description {
    about: "HTTP requests",
    terms: &[
        Term {
            key: "origin",
            value: "PATTERN",
            choices: &[],
            example: "https://example.com",
            about: "Which servers: `https://example.com`, with `*.` before a name for everything below it, `:8443` or `:*` behind it for other ports; `*` is every public one.",
            many: true,
            needed: true,
        },
        Term {
            key: "method",
            value: "METHOD",
            choices: &[],
            example: "POST",
            about: "Which methods, or `*`; `GET` and `HEAD` unless told.",
            many: true,
            needed: false,
        },
        Term {
            key: "max-body",
            value: "SIZE",
            choices: &[],
            example: "10MiB",
            about: "Bytes of an answer, decompressed; 100 MiB unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "max-request",
            value: "SIZE",
            choices: &[],
            example: "64KiB",
            about: "Bytes of a request's body; 16 MiB unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "rate",
            value: "N/s",
            choices: &[],
            example: "20/s",
            about: "Requests in a second or minute, redirects included (in a browser, which hides them, all of one request are one more); more wait for their turn, or end in `ETIMEDOUT` where `timeout` would not be enough. Without limit unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "concurrency",
            value: "N",
            choices: &[],
            example: "4",
            about: "Requests under way, until their bodies are closed; 32 unless told, one more is `EMFILE`. A body of a request that the server hasn't taken by then is sent for 5 s more and counts until then: one more request waits for that.",
            many: false,
            needed: false,
        },
        Term {
            key: "timeout",
            value: "TIME",
            choices: &[],
            example: "10s",
            about: "How long the headers of an answer may take, and each further part of its body; 30 s unless told. The agent can only shorten it.",
            many: false,
            needed: false,
        },
        Term {
            key: "redirect",
            value: "follow|manual",
            choices: &["follow", "manual"],
            example: "manual",
            about: "`manual` gives redirects to the agent as answers, to be followed by itself; they are followed unless told, each checked as a request is.",
            many: false,
            needed: false,
        },
        Term {
            key: "header",
            value: "ORIGIN NAME: VALUE",
            choices: &[],
            example: "https://example.com authorization: Bearer KEY",
            about: "A header that the host adds for an origin, such as a key. No file of the agent's has it, and it goes to no other origin; a server that repeats what it was sent (in an echo, an error page) shows it all the same. An ORIGIN of which nothing is granted is an error.",
            many: true,
            needed: false,
        },
        Term {
            key: "header-file",
            value: "ORIGIN NAME: PREFIX@FILE",
            choices: &[],
            example: "https://example.com authorization: Bearer @token",
            about: "The same, natively, with the value from the first line of a file, in a manifest relative to it. PREFIX may be empty: `https://api.example Authorization: Bearer @/run/secrets/token`.",
            many: true,
            needed: false,
        },
        Term {
            key: "header-env",
            value: "ORIGIN NAME: PREFIX@VARIABLE",
            choices: &[],
            example: "https://example.com authorization: Bearer @TOKEN",
            about: "The same, natively, with the value from a variable of the host's environment.",
            many: true,
            needed: false,
        },
        Term {
            key: "network",
            value: "RANGE",
            choices: &[],
            example: "10.0.0.0/8",
            about: "Natively and in Node: addresses that are not public and may be connected to, such as `10.0.0.0/8`. A browser knows no addresses.",
            many: true,
            needed: false,
        },
    ],
};
const INDEXEDDB: Description = Description {
    about: "databases: stores of records, indexes, ranges",
    terms: &[
        Term {
            key: "databases",
            value: "N",
            choices: &[],
            example: "2",
            about: "How many there may be; 16 unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "name",
            value: "NAME",
            choices: &[],
            example: "shared",
            about: "Whose databases: 1 to 64 letters, digits, `.`, `_`, `-`; the agent's own unless told, by its identity.",
            many: false,
            needed: false,
        },
        Term {
            key: "quota",
            value: "SIZE",
            choices: &[],
            example: "1MiB",
            about: "Bytes that each may take, keys and indexes included; 64 MiB unless told.",
            many: false,
            needed: false,
        },
    ],
};
const OPFS: Description = Description {
    about: "files that stay, with `quota` and `policy` beside them",
    terms: &[
        Term {
            key: "name",
            value: "NAME",
            choices: &[],
            example: "shared",
            about: "Which tree; one that belongs to the agent's identity unless told. Agents with one name have one tree, and take turns.",
            many: false,
            needed: false,
        },
        Term {
            key: "quota",
            value: "SIZE",
            choices: &[],
            example: "64MiB",
            about: "Bytes that the contents of files may take, in blocks of 4 KiB; 1 GiB unless told, then `EDQUOT`.",
            many: false,
            needed: false,
        },
        Term {
            key: "rights",
            value: "ro|rw",
            choices: &["ro", "rw"],
            example: "ro",
            about: "Everything unless told.",
            many: false,
            needed: false,
        },
        Term {
            key: "repair",
            value: "yes|no",
            choices: &["yes", "no"],
            example: "yes",
            about: "Opens a damaged tree with what can be read of it.",
            many: false,
            needed: false,
        },
    ],
};
const RANDOM: Description = Description {
    about: "bytes that can't be guessed, without end",
    terms: &[],
};
const TASK: Description = Description {
    about: "child agents",
    terms: &[
        Term {
            key: "children",
            value: "N",
            choices: &[],
            example: "4",
            about: "Tasks at once, ended ones included until they are deleted; 64 unless told, then `EMFILE`.",
            many: false,
            needed: false,
        },
    ],
};
const WS: Description = Description {
    about: "WebSocket connections",
    terms: &[
        Term {
            key: "origin",
            value: "PATTERN",
            choices: &[],
            example: "wss://example.com",
            about: "Which servers (`ws`, `wss`): `wss://example.com`, with `*.` before a name for everything below it, `:8443` or `:*` behind it for other ports; `*` is every public one.",
            many: true,
            needed: true,
        },
        Term {
            key: "max-message",
            value: "SIZE",
            choices: &[],
            example: "64KiB",
            about: "Bytes of a message, either way; 4 MiB unless told, 16 MiB at most. Longer ones are `EMSGSIZE`, and one that comes closes the connection with 1009 (4009 in a browser).",
            many: false,
            needed: false,
        },
        Term {
            key: "connections",
            value: "N",
            choices: &[],
            example: "1",
            about: "Connections at once; 16 unless told, one more is `EMFILE`. One that is ending counts until it is over, and one more waits for that.",
            many: false,
            needed: false,
        },
        Term {
            key: "timeout",
            value: "TIME",
            choices: &[],
            example: "10s",
            about: "How long the handshake may take; 30 s unless told. Natively it is `EPROTO` where the server sends more than 1 MiB before its end.",
            many: false,
            needed: false,
        },
        Term {
            key: "header",
            value: "ORIGIN NAME: VALUE",
            choices: &[],
            example: "wss://example.com authorization: Bearer KEY",
            about: "A header of the handshake that the host adds, natively, as for `fetch`; a browser refuses the grant.",
            many: true,
            needed: false,
        },
        Term {
            key: "header-file",
            value: "ORIGIN NAME: PREFIX@FILE",
            choices: &[],
            example: "wss://example.com authorization: Bearer @token",
            about: "The same, with the value from the first line of a file.",
            many: true,
            needed: false,
        },
        Term {
            key: "header-env",
            value: "ORIGIN NAME: PREFIX@VARIABLE",
            choices: &[],
            example: "wss://example.com authorization: Bearer @TOKEN",
            about: "The same, with the value from a variable of the host's environment.",
            many: true,
            needed: false,
        },
        Term {
            key: "network",
            value: "RANGE",
            choices: &[],
            example: "10.0.0.0/8",
            about: "Addresses that are not public and may be connected to, as for `fetch`, and checked alike. In Node every address of a name must be let through, and is checked before the socket looks the name up again by itself: one that changes its mind just then isn't caught.",
            many: true,
            needed: false,
        },
    ],
};
