//! A manifest that is read again: what is no longer in it is taken away from the program, which goes on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use capfs_host::grants::{Grant, Revocable};
use capfs_host::{manifest, say};

/// What was granted by a manifest, as far as it has not been taken away.
#[derive(Clone, Default)]
pub struct GrantedByManifest(Arc<Mutex<Vec<(Grant, Revocable)>>>);

impl GrantedByManifest {
    /// This was granted.
    pub fn set(&self, granted: Vec<(Grant, Revocable)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = granted;
    }

    /// What is to be done on each SIGHUP: reads the manifest again, and takes away what was granted by it and is not in it any
    /// more, or on other terms. What is new in it is not given to a program that runs already.
    pub fn reread(
        &self,
        path: PathBuf,
        wanted: Option<String>,
        quiet: bool,
    ) -> impl FnMut() + Send + use<> {
        let GrantedByManifest(granted) = self.clone();
        move || {
            let manifest = match manifest::load(&path, wanted.as_deref()) {
                Ok(manifest) => manifest,
                // Nothing is taken away by mistake.
                Err(error) => return error.lines().iter().for_each(say::error),
            };
            let mut granted = granted.lock().unwrap_or_else(PoisonError::into_inner);
            granted.retain(|(grant, handle)| {
                let kept = manifest.wants.iter().any(|want| want.grant == *grant);
                if !kept {
                    handle.revoke();
                    if !quiet {
                        say::note("revoked", format!("{} at {}", grant.what(), grant.guest()));
                    }
                }
                kept
            });
        }
    }
}
