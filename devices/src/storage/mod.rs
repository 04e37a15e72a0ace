//! `/cap/storage/opfs`: a tree of files that stays, and `quota` and `policy` beside it.
//!
//! The tree is an ordinary one, with POSIX meaning and nothing special inside. In a browser it is a volume of
//! `capfs-storage` in the origin's private file system, natively a folder. What both have in common is here: the
//! terms of a grant, and the files beside the tree.
//!
//! | term | meaning |
//! |---|---|
//! | `name=NAME` | which tree; an agent has one of its own unless told. Agents that are granted the same name take turns |
//! | `quota=SIZE` | what the contents of files may take, in blocks of 4 KiB; 1 GiB unless told. Over it, `EDQUOT` |
//! | `rights=ro` | only to be read; `rw` unless told |
//! | `repair=yes` | opens a damaged tree with what can be read of it; means nothing natively |

use capfs::device::{Device, synthetic};
use capfs::{MaybeSend, MaybeSync, Name, NodeRef, Op, Rights};

use crate::grant::{DeviceKind, Grant, GrantError};

/// Bytes that the contents of files may take, unless told: 1 GiB.
pub const QUOTA_DEFAULT: u64 = 1 << 30;

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    StorageTerms::new(grant, "").map(drop)
}

/// The terms of a grant of stored files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageTerms {
    /// Which tree: a name of a directory.
    pub name: String,
    /// Bytes that the contents of files may take.
    pub quota: u64,
    /// What may be done with the files.
    pub rights: Rights,
    /// Opens a damaged tree with what can be read of it.
    pub repair: bool,
}

impl StorageTerms {
    /// Reads the terms of a grant; `identity` is that of the agent that it is for.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn new(grant: &Grant, identity: &str) -> Result<StorageTerms, GrantError> {
        let mut terms = StorageTerms {
            name: own_name(identity),
            quota: QUOTA_DEFAULT,
            rights: Rights::RW,
            repair: false,
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "name" => match Name::new(&term.value) {
                    Ok(name) => terms.name = name.as_str().to_owned(),
                    Err(_) => return Err(term.expected("expected a name without `/`")),
                },
                "quota" => terms.quota = term.size()?,
                "rights" => {
                    terms.rights = match term.value.as_str() {
                        "ro" => Rights::RO,
                        "rw" => Rights::RW,
                        _ => return Err(term.expected("expected ro or rw")),
                    }
                }
                "repair" => terms.repair = term.yes()?,
                _ => return Err(grant.unknown(term, const { DeviceKind::Opfs.keys() })),
            }
        }
        Ok(terms)
    }

    /// What the file `policy` says: a line for each term.
    fn policy(&self) -> String {
        let StorageTerms {
            name,
            quota,
            rights,
            repair,
        } = self;
        let rights = if *rights == Rights::RO { "ro" } else { "rw" };
        let repair = if *repair { "yes" } else { "no" };
        format!("name {name}\nquota {quota}\nrights {rights}\nrepair {repair}\n")
    }
}

/// The name of what an agent keeps, by its identity, which its host has checked: an id that it was given, or `sha256:` and the digest of
/// its program in hexadecimal. Of letters, digits, `-`, `_` and `.` alone, without a path and without `.wasm`.
pub fn own_name(identity: &str) -> String {
    let last = identity.rsplit('/').next().unwrap_or_default();
    let last = last.strip_suffix(".wasm").unwrap_or(last);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = last
        .chars()
        .take(100)
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    match name.trim_start_matches('.') {
        "" => "agent".to_owned(),
        name => name.to_owned(),
    }
}

/// What is used of a tree, and what may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes that the contents of files take.
    pub used: u64,
    /// Bytes that they may take.
    pub total: u64,
}

/// Where the files beside a tree are: `quota` and `policy`.
pub fn paths_beside(at: &str) -> [String; 2] {
    let parent = at
        .trim_end_matches('/')
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent);
    ["quota", "policy"].map(|name| format!("{parent}/{name}"))
}

/// Makes the files beside a tree at `at`, each with its path: `quota`, with a line `used N` and a line `total N` in bytes, and
/// `policy`, with the terms.
pub fn files_beside<F>(at: &str, terms: &StorageTerms, usage: F) -> [(String, NodeRef); 2]
where
    F: Fn() -> Op<Quota> + MaybeSend + MaybeSync + 'static,
{
    let [quota_path, policy_path] = paths_beside(at);
    // They are short: what each opening holds is within the price of its descriptor.
    let device = Device::unlimited;
    let quota =
        move || usage().map(|Quota { used, total }| format!("used {used}\ntotal {total}\n"));
    let quota = synthetic::text_file(&device(), quota);
    let policy = terms.policy();
    let policy = synthetic::text_file(&device(), move || Op::ok(policy.clone()));
    [(quota_path, quota), (policy_path, policy)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read() {
        let terms =
            |flag: &str| StorageTerms::new(&Grant::from_flag(flag).unwrap(), "tools/notes.wasm");
        let own = terms("opfs").unwrap();
        assert_eq!((own.name.as_str(), own.quota), ("notes", QUOTA_DEFAULT));
        let told = terms("opfs,name=shared,quota=64MiB,rights=ro,repair=yes").unwrap();
        assert_eq!((told.name.as_str(), told.quota), ("shared", 64 << 20));
        assert_eq!((told.rights, told.repair), (Rights::RO, true));
        for bad in [
            "name=..",
            "name=a/b",
            "name=",
            "quota=lots",
            "rights=all",
            "size=3",
        ] {
            assert!(terms(&format!("opfs,{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_identity_can_be_a_directory() {
        for (agent, name) in [
            ("notes.wasm", "notes"),
            ("sha256:00ff", "sha256_00ff"),
            ("/usr/bin/a b.wasm", "a_b"),
            ("..", "agent"),
            (".hidden", "hidden"),
            ("", "agent"),
            ("ünï", "_n_"),
        ] {
            assert_eq!(own_name(agent), name);
            assert!(Name::new(&own_name(agent)).is_ok());
        }
    }

    #[test]
    fn quota_and_policy_are_beside_the_tree() {
        let expected = ["/cap/storage/quota", "/cap/storage/policy"];
        assert_eq!(paths_beside("/cap/storage/opfs"), expected);
        assert_eq!(paths_beside("/files/"), ["/quota", "/policy"]);
    }
}
