//! What a run itself keeps on this machine, which is no agent's.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Danger, Reserved};
use crate::grants::Grant;
use crate::manifest::Want;
use crate::secrets;

/// How deep keys lie in their folder.
const KEY_DEPTH: usize = 2;

/// The files in a folder, and in those that are in it, so many levels deep.
fn files_below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_file() => vec![entry.path()],
        Ok(kind) if kind.is_dir() && depth > 0 => files_below(&entry.path(), depth - 1),
        _ => Vec::new(),
    };
    entries.flat_map(below).collect()
}

/// What of this machine's is no agent's, whatever it is granted.
#[derive(Default)]
pub struct OwnPaths<'a> {
    /// The folder of compiled code.
    pub cache: Option<&'a Path>,
    /// The state folder.
    pub state: Option<&'a Path>,
    /// The audit.
    pub audit: Option<&'a Path>,
    /// The manifest.
    pub manifest: Option<&'a Path>,
    /// The passphrase's file.
    pub passphrase: Option<&'a Path>,
}

impl OwnPaths<'_> {
    /// That, and the files that headers are taken from.
    pub fn reserved(&self, wants: &[Want]) -> Reserved {
        let mut reserved = Reserved::default();
        if let Some(cache) = self.cache {
            let hint = "grant a folder that it is not in, or move the cache by the variable CAPFS_CACHE_DIR";
            let what = "the folder of compiled code";
            reserved.add(what, cache, Danger::Written, hint);
        }
        if let Some(state) = self.state {
            let hint = "keep state in a folder beside what is granted: --state DIR";
            let what = "the state folder";
            reserved.add_around_own(what, state, Danger::Read, hint);
            // By themselves as well, for they can have been mounted elsewhere.
            for inner in ["keys", "named"] {
                reserved.add(what, &state.join(inner), Danger::Read, hint);
            }
            // And each file of keys, which can have a second name.
            for file in files_below(&state.join("keys"), KEY_DEPTH) {
                reserved.add(what, &file, Danger::Read, hint);
            }
            reserved.add_around_own(what, &state.join("files"), Danger::Read, hint);
        }
        if let Some(audit) = self.audit {
            let hint = "write the audit into a folder that is not granted: --audit FILE";
            reserved.add("the audit", audit, Danger::Written, hint);
        }
        if let Some(manifest) = self.manifest {
            let hint = "put the manifest beside the folder that it grants, not into it";
            reserved.add("the manifest", manifest, Danger::Written, hint);
        }
        if let Some(passphrase) = self.passphrase {
            let hint =
                "keep the passphrase in a folder that is not granted: --passphrase-file FILE";
            reserved.add("the passphrase's file", passphrase, Danger::Read, hint);
        }
        for want in wants {
            if let Grant::Capability(grant) = &want.grant {
                for file in secrets::files(grant) {
                    let hint = "keep the header in a folder that is not granted: header-file=";
                    reserved.add("a header's file", file, Danger::Read, hint);
                }
            }
        }
        reserved
    }
}
