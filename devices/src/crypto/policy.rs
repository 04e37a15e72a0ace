//! On which terms the device is handed out.

use std::fmt::Write as _;

use super::host::Algorithm;
use super::{MESSAGE_MAX, names};
use crate::grant::{DeviceKind, Grant, GrantError};

/// Keys that an agent has at once unless its grant says otherwise, and that it may keep.
pub const KEYS: usize = 64;

/// The terms of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    algorithms: Vec<Algorithm>,
    keys: usize,
    persist: bool,
    import: bool,
    name: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            algorithms: Algorithm::ALL.to_vec(),
            keys: KEYS,
            persist: true,
            import: true,
            name: None,
        }
    }
}

impl Policy {
    /// Reads the terms of a grant:
    /// - `algorithm`, once or more: what keys may be of; without it, everything
    /// - `keys`: how many the agent may have at once, and how many it may keep ([`KEYS`])
    /// - `persist=no`: none may be kept
    /// - `name`: whose keys are kept and found; the program's own unless told
    /// - `import=no`: secrets can't be brought along, they are made here
    ///
    /// # Errors
    /// What is wrong with a term.
    pub fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let mut policy = Policy::default();
        let mut algorithms = Vec::new();
        for term in &grant.terms {
            match term.key.as_str() {
                "algorithm" => {
                    let algorithm = Algorithm::of_name(&term.value);
                    algorithms.push(algorithm.ok_or_else(|| {
                        let names = Algorithm::ALL.map(Algorithm::name).join(", ");
                        term.expected(format!("expected one of {names}"))
                    })?);
                }
                "keys" => policy.keys = term.count()?,
                "persist" => policy.persist = term.yes()?,
                "import" => policy.import = term.yes()?,
                "name" if names::is_name(&term.value) => policy.name = Some(term.value.clone()),
                "name" => {
                    return Err(term.expected("expected 1 to 64 of a-z, 0-9, `.`, `_`, `-`"));
                }
                _ => return Err(grant.unknown(term, const { DeviceKind::Crypto.keys() })),
            }
        }
        if !algorithms.is_empty() {
            algorithms.sort_unstable();
            algorithms.dedup();
            policy.algorithms = algorithms;
        }
        Ok(policy)
    }

    /// What is left of this policy under the terms of one more grant.
    ///
    /// # Errors
    /// What is wrong with a term.
    pub fn narrowed(&self, grant: &Grant) -> Result<Policy, GrantError> {
        let other = Policy::from_grant(grant)?;
        let mut algorithms = self.algorithms.clone();
        algorithms.retain(|algorithm| other.allows(*algorithm));
        Ok(Policy {
            algorithms,
            keys: self.keys.min(other.keys),
            persist: self.persist && other.persist,
            import: self.import && other.import,
            // Whose keys they are is the first grant's to say.
            name: self.name.clone(),
        })
    }

    /// Whether keys may be of this algorithm.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Keys at once, and keys that are kept.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Whether keys may be kept.
    pub fn may_persist(&self) -> bool {
        self.persist
    }

    /// Whether secrets may be brought along.
    pub fn may_import(&self) -> bool {
        self.import
    }

    /// Whose keys they are, if not the program's own.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The text of the `policy` file, on a host that can keep keys, or can't.
    pub(super) fn text(&self, persists: bool) -> String {
        let yes = |yes| if yes { "yes" } else { "no" };
        let mut text = String::new();
        for algorithm in &self.algorithms {
            let _ = writeln!(text, "algorithm {}", algorithm.name());
        }
        let _ = writeln!(text, "keys {}", self.keys);
        let _ = writeln!(text, "persist {}", yes(self.persist && persists));
        let _ = writeln!(text, "import {}", yes(self.import));
        let _ = writeln!(text, "max-message {MESSAGE_MAX}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(flag: &str) -> Result<Policy, GrantError> {
        Policy::from_grant(&Grant::from_flag(flag).unwrap())
    }

    #[test]
    fn terms() {
        assert_eq!(policy("crypto").unwrap(), Policy::default());
        let some = policy("crypto,algorithm=hkdf,algorithm=ed25519,keys=3,import=no").unwrap();
        assert_eq!(
            some.text(true),
            "algorithm ed25519\nalgorithm hkdf\nkeys 3\npersist yes\nimport no\nmax-message 4194304\n"
        );
        for bad in ["algorithm=rsa", "keys=0", "persist=perhaps", "imports=no"] {
            assert!(policy(&format!("crypto,{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_narrows() {
        let parent = policy("crypto,algorithm=hkdf,algorithm=ed25519,keys=3,import=no").unwrap();
        let child = Grant::from_flag("crypto,algorithm=hkdf,algorithm=x25519,keys=9,persist=no");
        let child = parent.narrowed(&child.unwrap()).unwrap();
        assert!(child.allows(Algorithm::Hkdf) && !child.allows(Algorithm::X25519));
        assert!(!child.allows(Algorithm::Ed25519));
        assert_eq!((child.keys(), child.may_import()), (3, false));
        assert!(!child.may_persist());
    }
}
