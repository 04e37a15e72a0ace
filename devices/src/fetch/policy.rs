//! The terms of a grant of `/cap/fetch`, and what they let through.

use std::fmt::Write as _;
use std::sync::Mutex;

use capfs::Errno;
use capfs::device::parts::lock;

use super::{CONVERSATIONS_MAX, METHODS_NEVER, SCHEMES};
use crate::grant::{DeviceKind, Grant, GrantError, Rate, Term};
use crate::layers::{self, Layers, Reach, Terms};
use crate::message::is_token;
use crate::origin::Origin;
use crate::outside::{Failure, Hold};
use crate::url::Url;

/// What one grant says.
pub struct Policy {
    reach: Reach,
    /// `None` is every method.
    methods: Option<Vec<String>>,
    pub max_body: u64,
    pub max_request: u64,
    pace: Option<Pace>,
    concurrency: usize,
    pub timeout: u64,
    pub follow: bool,
}

/// All the policies that a request must pass: that of the grant, and those that narrowed it.
pub type Policies = Layers<Policy>;

/// The right to have one request under way.
pub type Permit = layers::Permit<Policy>;

impl Policy {
    /// Reads a grant.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let mut policy = Policy {
            reach: Reach::default(),
            methods: Some(Vec::new()),
            max_body: 100 << 20,
            max_request: 16 << 20,
            pace: None,
            concurrency: 32,
            timeout: 30_000,
            follow: true,
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "method" => policy.add_method(term)?,
                "max-body" => policy.max_body = term.size()?,
                "max-request" => policy.max_request = term.size()?,
                "rate" => policy.pace = Some(Pace::new(term.rate()?)),
                "concurrency" => policy.concurrency = term.count()?,
                "timeout" => policy.timeout = term.millis()?.max(1),
                "redirect" => {
                    policy.follow = match term.value.as_str() {
                        "follow" => true,
                        "manual" => false,
                        _ => return Err(term.expected("expected follow or manual")),
                    }
                }
                _ if policy.reach.read(term, SCHEMES)? => {}
                _ => return Err(grant.unknown(term, const { DeviceKind::Fetch.keys() })),
            }
        }
        let why = "which servers may be asked; `*` is every public one";
        policy.reach.complete(grant, why)?;
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
}

impl Terms for Policy {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    fn at_once(&self) -> usize {
        self.concurrency
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key} {value}");
        };
        for origin in &self.reach.origins {
            line("origin", origin);
        }
        match &self.methods {
            Some(methods) => methods.iter().for_each(|method| line("method", method)),
            None => line("method", &"*"),
        }
        line("max-body", &self.max_body);
        line("max-request", &self.max_request);
        match &self.pace {
            Some(pace) => line("rate", &pace.rate),
            None => line("rate", &"unlimited"),
        }
        line("concurrency", &self.concurrency);
        line("timeout", &self.timeout);
        for header in &self.reach.headers {
            line("header", &header.text());
        }
        line("redirect", &if self.follow { "follow" } else { "manual" });
        for network in &self.reach.networks {
            line("network", network);
        }
        line("conversations", &CONVERSATIONS_MAX);
        text
    }
}

/// A rate, and when the last request that was let through is due, in milliseconds, as the cell rate algorithm of ATM has it.
struct Pace {
    rate: Rate,
    due: Mutex<f64>,
}

impl Pace {
    fn new(rate: Rate) -> Pace {
        Pace {
            rate,
            due: Mutex::new(f64::MIN),
        }
    }

    /// When one more request is due, and how long it must wait until it is within the rate: milliseconds.
    fn next(&self, due: f64, now: u64) -> (f64, f64) {
        let per = self.rate.per_millis as f64;
        let next = due.max(now as f64) + per / self.rate.count as f64;
        (next, (next - per - now as f64).max(0.0))
    }
}

impl Layers<Policy> {
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
        self.reaches(url, SCHEMES)?;
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

    /// Puts the host's headers for an origin in the place of the agent's.
    pub fn add_headers(&self, origin: &Origin, headers: &mut Vec<(String, String)>) {
        let own = self.headers(origin);
        headers.retain(|(name, _)| !own.iter().any(|(other, _)| other == name));
        headers.extend(own);
    }

    /// Takes the right to have a request under way; `None` if some are ending, for which [`Layers::turn`] waits.
    ///
    /// # Errors
    /// - `EMFILE`: there are as many as there may be
    pub fn begin(&self) -> Result<Option<(Permit, Hold)>, Failure> {
        self.permit(full)
    }

    /// Takes the right to have a request under way, once there is room.
    ///
    /// # Errors
    /// As [`Layers::begin`].
    pub async fn turn(&self) -> Result<(Permit, Hold), Failure> {
        self.vacancy(full).await
    }

    /// Milliseconds to wait until one more request is within every rate. It counts as made, against each of them, unless that is too long.
    ///
    /// # Errors
    /// - `ETIMEDOUT`: longer than `patience`; it counts against none
    pub fn delay(&self, now: u64, patience: u64) -> Result<u64, Failure> {
        // All at once, the widest first, as everybody does.
        let paces = self.all().filter_map(|policy| policy.pace.as_ref());
        let mut all: Vec<_> = paces.map(|pace| (pace, lock(&pace.due))).collect();
        let waits = all.iter().map(|(pace, due)| pace.next(**due, now).1);
        let longest = waits.fold(0.0, f64::max).ceil() as u64;
        if longest > patience {
            return Err(Failure::new(
                Errno::Timedout,
                "the rate that is granted leaves no room for this request in time",
            ));
        }
        for (pace, due) in &mut all {
            **due = pace.next(**due, now).0;
        }
        Ok(longest)
    }

    /// Counts a request that was made already.
    pub fn spend(&self, now: u64) {
        // Whatever the wait.
        let _ = self.delay(now, u64::MAX);
    }
}

fn full(most: usize) -> String {
    format!("{most} requests are under way, and more are not granted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(rate: &str) -> Policy {
        let flag = format!("fetch,origin=*,rate={rate}");
        Policy::from_grant(&Grant::from_flag(&flag).unwrap()).unwrap()
    }

    #[test]
    fn what_one_rate_refuses_counts_against_none() {
        let parent = Layers::new(rated("2/m"));
        let child = parent.and(rated("1/m"));
        assert_eq!(child.delay(0, 0), Ok(0));
        for _ in 0..9 {
            let refused = child.delay(0, 0).unwrap_err();
            assert_eq!(refused.errno, Errno::Timedout);
        }
        assert_eq!(parent.delay(0, 0), Ok(0), "the parent has one left");
        assert!(parent.delay(0, 0).is_err());
        // The other way round: what the parent has no room for costs the child nothing.
        let child = parent.and(rated("1/m"));
        assert!(child.delay(0, 0).is_err());
        assert_eq!(child.delay(30_000, 0), Ok(0));
    }
}
