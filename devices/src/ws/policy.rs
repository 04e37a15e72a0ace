//! The terms of a grant of `/cap/ws`, and what they let through.

use std::fmt::Write as _;

use capfs::Errno;

use super::{CONVERSATIONS_MAX, MESSAGE_MAX, SCHEMES};
use crate::grant::{DeviceKind, Grant, GrantError};
use crate::layers::{self, Layers, Reach, Terms};
use crate::outside::{Failure, Hold};
use crate::url::Url;

/// What one grant says.
pub struct Policy {
    reach: Reach,
    pub max_message: u64,
    connections: usize,
    pub timeout: u64,
}

/// All the policies that a connection must pass: that of the grant, and those that narrowed it.
pub type Policies = Layers<Policy>;

/// The right to have one connection.
pub type Permit = layers::Permit<Policy>;

impl Policy {
    /// Reads a grant, on a host that may add headers to handshakes.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn from_grant(grant: &Grant, adds_headers: bool) -> Result<Policy, GrantError> {
        let mut policy = Policy {
            reach: Reach::default(),
            max_message: 4 << 20,
            connections: 16,
            timeout: 30_000,
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "max-message" => {
                    policy.max_message = term.size()?;
                    if policy.max_message > MESSAGE_MAX as u64 {
                        return Err(term.expected("expected at most 16MiB"));
                    }
                }
                "connections" => policy.connections = term.count()?,
                "timeout" => policy.timeout = term.millis()?.max(1),
                _ if policy.reach.read(term, SCHEMES)? => {}
                _ => return Err(grant.unknown(term, const { DeviceKind::Ws.keys() })),
            }
        }
        if !adds_headers && !policy.reach.headers.is_empty() {
            return Err(GrantError::Value {
                key: "header".to_owned(),
                value: "***".to_owned(),
                expected: "a browser adds no headers to a WebSocket".to_owned(),
            });
        }
        let why = "which servers may be connected to; `*` is every public one";
        policy.reach.complete(grant, why)?;
        Ok(policy)
    }
}

impl Terms for Policy {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    fn at_once(&self) -> usize {
        self.connections
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key} {value}");
        };
        for origin in &self.reach.origins {
            line("origin", origin);
        }
        line("max-message", &self.max_message);
        line("connections", &self.connections);
        line("timeout", &self.timeout);
        for header in &self.reach.headers {
            line("header", &header.text());
        }
        for network in &self.reach.networks {
            line("network", network);
        }
        line("conversations", &CONVERSATIONS_MAX);
        text
    }
}

impl Layers<Policy> {
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
        self.reaches(url, SCHEMES)
    }

    /// Takes the right to have a connection; `None` if some are ending, for which [`Layers::turn`] waits.
    ///
    /// # Errors
    /// - `EMFILE`: there are as many as there may be
    pub fn begin(&self) -> Result<Option<(Permit, Hold)>, Failure> {
        self.permit(full)
    }

    /// Takes the right to have a connection, once there is room.
    ///
    /// # Errors
    /// As [`Layers::begin`].
    pub async fn turn(&self) -> Result<(Permit, Hold), Failure> {
        self.vacancy(full).await
    }
}

fn full(most: usize) -> String {
    format!("{most} connections are there, and more are not granted")
}
