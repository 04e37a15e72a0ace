//! `/cap/fetch`: HTTP requests as files, after webfs(4).
//!
//! ```text
//! clone new          a conversation (see `capfs::device::conversations`)
//! ctl                defaults: `timeout MS`, `redirect follow|manual`
//! policy             what is granted
//! error              why the last path below http/ and https/ could not be opened
//! http/ https/       `https/<host>/<path>`: opening is a GET
//! N/ctl              `url U`, `method M`, `header K: V`, `timeout MS`, `redirect follow|manual`, `send`, `abort`, `close`
//! N/postbody         the body to send, written before `body` is opened, or behind `send`
//! N/body             opening sends and waits for the headers; reading streams
//! N/status           `200 OK`
//! N/header           the headers, by name, a line each
//! N/headers/<name>   one of them, its name in lower case; what came several times is one line, with commas, but for set-cookie
//! N/parsed/…         url, scheme, host, port, path, query, fragment: of the answer, or else of `url`
//! N/error            what went wrong last
//! ```
//!
//! # One request after another
//! A conversation keeps its settings: opening `body` again sends again, with the same body if the request or its answer failed. Closing
//! `body` gives up what was not read. With `send` the request begins before `body` is opened, and where the host can, `postbody` is then sent as it
//! is written; its end is when it is closed.
//!
//! # Redirects
//! A host that sees redirects follows none by itself: each is checked against the policy, counts against the rate, and is sent as the
//! Fetch standard says, with that origin's own headers of the host. To another origin go only headers that describe content
//! ([`goes_to_other_origins`](crate::message::goes_to_other_origins)). Where a host (a browser) hides
//! them, the response's URL is checked before any byte is given, and all of them count as one request; for an origin that the host
//! adds headers to, it refuses them.
//!
//! # How it ends
//! What is left of a request's body when its answer was read or given up is sent for [`LINGER`] at most, and until then the request
//! counts: one more waits for it where no other is granted.
//!
//! # Errors
//! - `EACCES`: an origin, a method, an address, a header that is not granted
//! - `EINVAL`, `ENAMETOOLONG`, `ENOSPC`: a command that is none; a URL, headers that are too long
//! - `ENOMEM`: more than the agent may make its host hold
//! - `EMFILE`: as many conversations, or requests, as there may be
//! - `EMSGSIZE`: a body over its limit
//! - `ETIMEDOUT`: no headers, or no further bytes, within `timeout`; a rate that leaves no room within it
//! - `ELOOP`: more than [`REDIRECTS_MAX`] redirects
//! - `EBUSY`: a request is under way
//! - `ECANCELED`: it was aborted; `EPIPE`: `postbody` of a request that was sent, or is over
//! - `EIO`: a body that was streamed to a request that failed, and not kept
//! - `ECONNREFUSED`, `ECONNRESET`, `EHOSTUNREACH`, `EPROTO`, `EIO`: what the network says

mod conversation;
mod exchange;
mod files;
mod hops;
pub mod host;
mod paths;
mod policy;

use std::sync::{Arc, Mutex};

use capfs::NodeRef;
use capfs::account::Account;
use capfs::device::Device;
use capfs::device::conversations::{Conversations, Dialogue, LastError};
use capfs::device::parts::lock;

use crate::audit::CallObservers;
use crate::ends::Ends;
use crate::grant::{Grant, GrantError};
use crate::layers::Terms as _;
use conversation::{Conversation, set_default};
use exchange::Settings;
use host::{Client, Host};
use paths::Hosts;
use policy::{Policies, Policy};

/// What can be spoken.
const SCHEMES: &[&str] = &["http", "https"];

/// Methods that browsers refuse, and so does every host: they are for proxies.
const METHODS_NEVER: &[&str] = &["CONNECT", "TRACE", "TRACK"];

/// Conversations of one agent at once. Each has a few hundred bytes, and the body that it collects.
pub const CONVERSATIONS_MAX: usize = 256;

/// Redirects of one request, as the Fetch standard has it.
pub const REDIRECTS_MAX: usize = 20;

/// Bytes of the headers that an agent may set.
pub const HEADERS_MAX: usize = 32 << 10;

/// Bytes of the headers of an answer, names and values.
pub const RESPONSE_HEADERS_MAX: usize = 256 << 10;

/// Headers of an answer.
pub const RESPONSE_FIELDS_MAX: usize = 512;

/// Milliseconds that a host has to send what is left of a request's body once its answer was read or given up; then the connection
/// is broken off.
pub const LINGER: u64 = 5_000;

/// Bytes of a body that were written and not yet sent, while it streams.
pub const UPLOAD_WINDOW: usize = 256 << 10;

/// Bytes of one answer that a host takes from the server ahead of the agent. Each request is charged for them.
pub const RECEIVE_WINDOW: usize = 512 << 10;

/// Bytes that a host may take to decompress an answer, and that each request is charged for; what takes more is charged by itself.
pub const DECODING: usize = 128 << 10;

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant).map(drop)
}

/// The device of one agent.
pub struct Fetch {
    host: Arc<dyn Host>,
    client: Arc<dyn Client>,
    policies: Policies,
    device: Device,
    defaults: Mutex<Settings>,
    /// Who is told of each request.
    pub(crate) observers: CallObservers,
    /// Its requests under way.
    pub(crate) ends: Ends,
}

impl Fetch {
    /// Makes the device on the terms of a grant, for the agent of an account.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn new(
        host: Arc<dyn Host>,
        grant: &Grant,
        account: &Account,
    ) -> Result<Arc<Fetch>, GrantError> {
        let policy = Policy::from_grant(grant)?;
        policy.reach().resolved()?;
        let policies = Policies::new(policy);
        let observers = CallObservers::default();
        let ends = Ends::default();
        Ok(Fetch::with(host, policies, account, observers, ends))
    }

    /// Makes a device that keeps this one's terms and those of `grant`, for a child of the agent, which has this account.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Arc<Fetch>, GrantError> {
        let policies = self.policies.and(Policy::from_grant(grant)?);
        let observers = self.observers.narrowed();
        let host = self.host.clone();
        let ends = self.ends.narrowed();
        Ok(Fetch::with(host, policies, account, observers, ends))
    }

    fn with(
        host: Arc<dyn Host>,
        policies: Policies,
        account: &Account,
        observers: CallObservers,
        ends: Ends,
    ) -> Arc<Fetch> {
        Arc::new(Fetch {
            client: host.client(Arc::new(policies.clone())),
            host,
            policies,
            device: Device::new(account),
            defaults: Mutex::default(),
            observers,
            ends,
        })
    }

    /// What a new conversation begins with.
    fn defaults(&self) -> Settings {
        lock(&self.defaults).clone()
    }

    /// The root of the device's tree.
    pub fn root(self: &Arc<Self>) -> NodeRef {
        let begun = self.clone();
        let conversations = Conversations::new(CONVERSATIONS_MAX, &self.device, move |_: u64| {
            Ok(Arc::new(Conversation::new(begun.clone())) as Arc<dyn Dialogue>)
        });
        let error: Arc<LastError> = Arc::default();
        let (set, shown) = (self.clone(), self.clone());
        let (refused, said) = (error.clone(), error.clone());
        let hosts = |scheme| {
            self.device.directory().dynamic(Hosts {
                fetch: self.clone(),
                error: error.clone(),
                scheme,
            })
        };
        let tree = self
            .device
            .directory()
            .ctl("ctl", move |line: &str| {
                let outcome = set_default(&set, &mut lock(&set.defaults), line);
                outcome.map_err(|failure| refused.explain(failure.errno, failure.text))
            })
            .text("policy", move || shown.policies.text())
            .text("error", move || said.text())
            .dir("http", hosts("http"))
            .dir("https", hosts("https"));
        conversations.serve(tree).build()
    }
}
