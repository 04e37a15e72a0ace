//! The terms of a grant of `/cap/fetch`, and what they let through.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use capfs::Errno;
use capfs::device::parts::lock;

use super::{CONVERSATIONS_MAX, METHODS_NEVER, SCHEMES};
use crate::address::{Addresses, Network, granted};
use crate::grant::{Grant, GrantError, Rate, Term};
use crate::host_header::HostHeader;
use crate::message::is_token;
use crate::origin::{Origin, OriginPattern};
use crate::outside::Failure;
use crate::url::Url;

const KNOWN: &[&str] = &[
    "origin",
    "method",
    "max-body",
    "max-request",
    "rate",
    "concurrency",
    "timeout",
    "header",
    "redirect",
    "network",
];

/// What one grant says.
pub struct Policy {
    origins: Vec<OriginPattern>,
    /// `None` is every method.
    methods: Option<Vec<String>>,
    pub max_body: u64,
    pub max_request: u64,
    rate: Option<Rate>,
    concurrency: usize,
    pub timeout: u64,
    headers: Vec<HostHeader>,
    pub follow: bool,
    networks: Vec<Network>,
}

impl Policy {
    /// Reads a grant.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let mut policy = Policy {
            origins: Vec::new(),
            methods: Some(Vec::new()),
            max_body: 100 << 20,
            max_request: 16 << 20,
            rate: None,
            concurrency: 32,
            timeout: 30_000,
            headers: Vec::new(),
            follow: true,
            networks: Vec::new(),
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "origin" => policy
                    .origins
                    .push(OriginPattern::from_term(term, SCHEMES)?),
                "method" => policy.add_method(term)?,
                "max-body" => policy.max_body = term.size()?,
                "max-request" => policy.max_request = term.size()?,
                "rate" => policy.rate = Some(term.rate()?),
                "concurrency" => policy.concurrency = term.count()?,
                "timeout" => policy.timeout = term.millis()?.max(1),
                "header" => policy.headers.push(HostHeader::from_term(term, SCHEMES)?),
                "redirect" => {
                    policy.follow = match term.value.as_str() {
                        "follow" => true,
                        "manual" => false,
                        _ => return Err(term.expected("expected follow or manual")),
                    }
                }
                "network" => policy.networks.push(Network::from_term(term)?),
                _ => return Err(grant.unknown(term, KNOWN)),
            }
        }
        if policy.origins.is_empty() {
            return Err(GrantError::Missing {
                device: grant.device.name(),
                key: "origin",
                why: "which servers may be asked; `*` is every public one",
            });
        }
        if policy.methods.as_ref().is_some_and(Vec::is_empty) {
            policy.methods = Some(vec!["GET".to_owned(), "HEAD".to_owned()]);
        }
        Ok(policy)
    }

    fn add_method(&mut self, term: &Term) -> Result<(), GrantError> {
        let method = term.value.to_ascii_uppercase();
        if method == "*" {
            self.methods = None;
        } else if !is_token(&method) || METHODS_NEVER.contains(&&*method) {
            return Err(term.expected("expected a method, such as GET or POST, or *"));
        } else if let Some(methods) = &mut self.methods {
            methods.push(method);
        }
        Ok(())
    }

    /// What the file `policy` says.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key} {value}");
        };
        for origin in &self.origins {
            line("origin", origin);
        }
        match &self.methods {
            Some(methods) => methods.iter().for_each(|method| line("method", method)),
            None => line("method", &"*"),
        }
        line("max-body", &self.max_body);
        line("max-request", &self.max_request);
        match &self.rate {
            Some(rate) => line("rate", rate),
            None => line("rate", &"unlimited"),
        }
        line("concurrency", &self.concurrency);
        line("timeout", &self.timeout);
        for header in &self.headers {
            line("header", &header.text());
        }
        line("redirect", &if self.follow { "follow" } else { "manual" });
        for network in &self.networks {
            line("network", network);
        }
        line("conversations", &CONVERSATIONS_MAX);
        text
    }
}

/// A policy, and what is used of it.
pub struct Layer {
    pub policy: Policy,
    active: AtomicUsize,
    /// When the last request that was let through is due, in milliseconds, as the cell rate algorithm of ATM has it.
    due: Mutex<f64>,
}

impl Layer {
    pub fn new(policy: Policy) -> Arc<Layer> {
        Arc::new(Layer {
            policy,
            active: AtomicUsize::new(0),
            due: Mutex::new(f64::MIN),
        })
    }

    /// Milliseconds to wait until one more request is within the rate. It counts as made unless that is longer than
    /// `patience`.
    fn delay(&self, now: u64, patience: u64) -> u64 {
        let Some(rate) = self.policy.rate else {
            return 0;
        };
        let per = rate.per_millis as f64;
        let mut due = lock(&self.due);
        let next = due.max(now as f64) + per / rate.count as f64;
        let wait = (next - per - now as f64).max(0.0);
        if wait <= patience as f64 {
            *due = next;
        }
        wait.ceil() as u64
    }
}

/// The right to have one request under way.
pub struct Permit(Vec<Arc<Layer>>);

impl Drop for Permit {
    fn drop(&mut self) {
        for layer in &self.0 {
            layer.active.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// All the policies that a request must pass: that of the grant, and those that narrowed it.
#[derive(Clone)]
pub struct Policies(Vec<Arc<Layer>>);

impl Policies {
    pub fn new(policy: Policy) -> Policies {
        Policies(vec![Layer::new(policy)])
    }

    /// These, and one more.
    pub fn and(&self, policy: Policy) -> Policies {
        let mut layers = self.0.clone();
        layers.push(Layer::new(policy));
        Policies(layers)
    }

    fn all(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|layer| &layer.policy)
    }

    /// What the file `policy` says, the narrowest last.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.all().map(Policy::text).collect();
        texts.join("and\n")
    }

    /// The limit that all of them keep.
    pub fn least(&self, limit: impl Fn(&Policy) -> u64) -> u64 {
        self.all().map(limit).min().unwrap_or(0)
    }

    /// Whether redirects may be followed.
    pub fn follow(&self) -> bool {
        self.all().all(|policy| policy.follow)
    }

    /// Whether a request is granted.
    ///
    /// # Errors
    /// - `EACCES`: its origin or its method is not
    /// - `EINVAL`: a URL with a user name or a password
    pub fn check(&self, url: &Url, method: &str) -> Result<(), Failure> {
        if url.credentials {
            return Err(Failure::new(
                Errno::Inval,
                "a URL can't hold a user name or a password here",
            ));
        }
        if !SCHEMES.contains(&&*url.origin.scheme) {
            let text = format!("`{}` is not spoken here", url.origin.scheme);
            return Err(Failure::new(Errno::Acces, text));
        }
        let origin = |policy: &Policy| policy.origins.iter().any(|each| each.matches(&url.origin));
        if !self.all().all(origin) {
            let text = format!("the origin {} is not granted", url.origin);
            return Err(Failure::new(Errno::Acces, text));
        }
        let allowed = |policy: &Policy| match &policy.methods {
            Some(methods) => methods.iter().any(|each| each == method),
            None => !METHODS_NEVER.contains(&method),
        };
        if !self.all().all(allowed) {
            let text = format!("the method {method} is not granted");
            return Err(Failure::new(Errno::Acces, text));
        }
        Ok(())
    }

    /// Whether the host adds headers to requests for an origin.
    pub fn adds_headers(&self, origin: &Origin) -> bool {
        self.all()
            .flat_map(|policy| &policy.headers)
            .any(|header| header.is_for(origin))
    }

    /// Puts the host's headers for an origin in the place of the agent's.
    pub fn add_headers(&self, origin: &Origin, headers: &mut Vec<(String, String)>) {
        let own = self.all().flat_map(|policy| &policy.headers);
        let own = own.filter(|header| header.is_for(origin));
        let own: Vec<_> = own.map(HostHeader::pair).collect();
        headers.retain(|(name, _)| !own.iter().any(|(other, _)| other == name));
        headers.extend(own);
    }

    /// Takes the right to have a request under way.
    ///
    /// # Errors
    /// - `EMFILE`: there are as many as there may be
    pub fn permit(&self) -> Result<Permit, Failure> {
        let mut permit = Permit(Vec::new());
        for layer in &self.0 {
            permit.0.push(layer.clone());
            if layer.active.fetch_add(1, Ordering::AcqRel) >= layer.policy.concurrency {
                let most = layer.policy.concurrency;
                let text = format!("{most} requests are under way, and more are not granted");
                return Err(Failure::new(Errno::Mfile, text));
            }
        }
        Ok(permit)
    }

    /// Milliseconds to wait until one more request is within every rate.
    ///
    /// # Errors
    /// - `ETIMEDOUT`: longer than `patience`
    pub fn delay(&self, now: u64, patience: u64) -> Result<u64, Failure> {
        let mut longest = 0;
        for layer in &self.0 {
            longest = longest.max(layer.delay(now, patience));
        }
        match longest > patience {
            true => Err(Failure::new(
                Errno::Timedout,
                "the rate that is granted leaves no room for this request in time",
            )),
            false => Ok(longest),
        }
    }
}

impl Addresses for Policies {
    fn allowed(&self, origin: &Origin, address: IpAddr) -> bool {
        self.all()
            .all(|policy| granted(&policy.origins, &policy.networks, origin, address))
    }
}
