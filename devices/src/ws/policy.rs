//! The terms of a grant of `/cap/ws`, and what they let through.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use capfs::Errno;

use super::{CONVERSATIONS_MAX, MESSAGE_MAX, SCHEMES};
use crate::address::{Addresses, Network, granted};
use crate::grant::{Grant, GrantError};
use crate::host_header::HostHeader;
use crate::origin::{Origin, OriginPattern};
use crate::outside::Failure;
use crate::url::Url;

const KNOWN: &[&str] = &[
    "origin",
    "max-message",
    "connections",
    "timeout",
    "header",
    "network",
];

/// What one grant says.
pub struct Policy {
    origins: Vec<OriginPattern>,
    pub max_message: u64,
    connections: usize,
    pub timeout: u64,
    headers: Vec<HostHeader>,
    networks: Vec<Network>,
}

impl Policy {
    /// Reads a grant, on a host that may add headers to handshakes.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn from_grant(grant: &Grant, adds_headers: bool) -> Result<Policy, GrantError> {
        let mut policy = Policy {
            origins: Vec::new(),
            max_message: 4 << 20,
            connections: 16,
            timeout: 30_000,
            headers: Vec::new(),
            networks: Vec::new(),
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "origin" => policy
                    .origins
                    .push(OriginPattern::from_term(term, SCHEMES)?),
                "max-message" => {
                    policy.max_message = term.size()?;
                    if policy.max_message > MESSAGE_MAX as u64 {
                        return Err(term.expected("expected at most 16MiB"));
                    }
                }
                "connections" => policy.connections = term.count()?,
                "timeout" => policy.timeout = term.millis()?.max(1),
                "header" => {
                    policy.headers.push(HostHeader::from_term(term, SCHEMES)?);
                    if !adds_headers {
                        // The value may be a secret.
                        return Err(GrantError::Value {
                            key: term.key.clone(),
                            value: "***".to_owned(),
                            expected: "a browser adds no headers to a WebSocket".to_owned(),
                        });
                    }
                }
                "network" => policy.networks.push(Network::from_term(term)?),
                _ => return Err(grant.unknown(term, KNOWN)),
            }
        }
        match policy.origins.is_empty() {
            true => Err(GrantError::Missing {
                device: grant.device.name(),
                key: "origin",
                why: "which servers may be connected to; `*` is every public one",
            }),
            false => Ok(policy),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key} {value}");
        };
        for origin in &self.origins {
            line("origin", origin);
        }
        line("max-message", &self.max_message);
        line("connections", &self.connections);
        line("timeout", &self.timeout);
        for header in &self.headers {
            line("header", &header.text());
        }
        for network in &self.networks {
            line("network", network);
        }
        line("conversations", &CONVERSATIONS_MAX);
        text
    }
}

/// A policy, and what is used of it.
struct Layer {
    policy: Policy,
    active: AtomicUsize,
}

/// The right to have one connection.
pub struct Permit(Vec<Arc<Layer>>);

impl Drop for Permit {
    fn drop(&mut self) {
        for layer in &self.0 {
            layer.active.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// All the policies that a connection must pass: that of the grant, and those that narrowed it.
#[derive(Clone)]
pub struct Policies(Vec<Arc<Layer>>);

impl Policies {
    pub fn new(policy: Policy) -> Policies {
        Policies(Vec::new()).and(policy)
    }

    /// These, and one more.
    pub fn and(&self, policy: Policy) -> Policies {
        let mut layers = self.0.clone();
        layers.push(Arc::new(Layer {
            policy,
            active: AtomicUsize::new(0),
        }));
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

    /// Whether a connection is granted.
    ///
    /// # Errors
    /// - `EACCES`: its origin is not
    /// - `EINVAL`: a URL with a user name, a password or a fragment
    pub fn check(&self, url: &Url) -> Result<(), Failure> {
        if url.credentials || url.fragment.is_some() {
            let text = "a URL can't hold a user name, a password or a fragment here";
            return Err(Failure::new(Errno::Inval, text));
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
        Ok(())
    }

    /// The host's headers for an origin.
    pub fn headers(&self, origin: &Origin) -> Vec<(String, String)> {
        self.all()
            .flat_map(|policy| &policy.headers)
            .filter(|header| header.is_for(origin))
            .map(HostHeader::pair)
            .collect()
    }

    /// Takes the right to have a connection.
    ///
    /// # Errors
    /// - `EMFILE`: there are as many as there may be
    pub fn permit(&self) -> Result<Permit, Failure> {
        let mut permit = Permit(Vec::new());
        for layer in &self.0 {
            permit.0.push(layer.clone());
            if layer.active.fetch_add(1, Ordering::AcqRel) >= layer.policy.connections {
                let most = layer.policy.connections;
                let text = format!("{most} connections are there, and more are not granted");
                return Err(Failure::new(Errno::Mfile, text));
            }
        }
        Ok(permit)
    }
}

impl Addresses for Policies {
    fn allowed(&self, origin: &Origin, address: IpAddr) -> bool {
        self.all()
            .all(|policy| granted(&policy.origins, &policy.networks, origin, address))
    }
}
