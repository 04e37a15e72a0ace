//! On which terms the device is handed out.

use super::codec::is_name;
use crate::grant::{DeviceKind, Grant, GrantError};

/// Databases that an agent may have unless its grant says otherwise.
pub const DATABASES: usize = 16;

/// Bytes that each may take unless the grant says otherwise: 64 MiB.
pub const QUOTA: u64 = 64 << 20;

/// The terms of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    databases: usize,
    quota: u64,
    name: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            databases: DATABASES,
            quota: QUOTA,
            name: None,
        }
    }
}

impl Policy {
    /// Reads the terms of a grant:
    /// - `databases`: how many there may be ([`DATABASES`])
    /// - `quota`: how many bytes each may take, keys and indexes included ([`QUOTA`])
    /// - `name`: whose they are; the program's own unless told
    ///
    /// # Errors
    /// What is wrong with a term.
    pub fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let mut policy = Policy::default();
        for term in &grant.terms {
            match term.key.as_str() {
                "databases" => policy.databases = term.count()?,
                "quota" => policy.quota = term.size()?,
                "name" if is_name(&term.value) => policy.name = Some(term.value.clone()),
                "name" => {
                    let expected = "expected 1 to 64 of letters, digits, `.`, `_`, `-`";
                    return Err(term.expected(expected));
                }
                _ => return Err(grant.unknown(term, const { DeviceKind::IndexedDb.keys() })),
            }
        }
        Ok(policy)
    }

    /// What is left of this policy under the terms of one more grant.
    ///
    /// # Errors
    /// What is wrong with a term.
    pub fn narrowed(&self, grant: &Grant) -> Result<Policy, GrantError> {
        let other = Policy::from_grant(grant)?;
        Ok(Policy {
            databases: self.databases.min(other.databases),
            quota: self.quota.min(other.quota),
            // Whose they are is the first grant's to say.
            name: self.name.clone(),
        })
    }

    /// How many databases there may be.
    pub fn databases(&self) -> usize {
        self.databases
    }

    /// Bytes that each may take.
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// Whose databases they are, if not the program's own.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn text(&self) -> String {
        let (databases, quota) = (self.databases, self.quota);
        let value = super::VALUE_MAX;
        format!("databases {databases}\nquota {quota}\nmax-value {value}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms() {
        let policy = |flag: &str| Policy::from_grant(&Grant::from_flag(flag).unwrap());
        let some = policy("indexeddb,databases=2,quota=1MiB,name=feeds").unwrap();
        assert_eq!(
            some.text(),
            "databases 2\nquota 1048576\nmax-value 16777216\n"
        );
        assert_eq!(some.name(), Some("feeds"));
        for bad in ["databases=0", "quota=x", "name=a/b", "size=1"] {
            assert!(policy(&format!("indexeddb,{bad}")).is_err(), "{bad}");
        }
        let child = Grant::from_flag("indexeddb,databases=9,quota=1KiB,name=other").unwrap();
        let child = some.narrowed(&child).unwrap();
        assert_eq!((child.databases(), child.quota()), (2, 1024));
        assert_eq!(child.name(), Some("feeds"));
    }
}
