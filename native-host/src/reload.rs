//! A manifest that is read again: what is no longer in it is taken away from the program, which goes on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capfs_host::grants::{Grant, Revocable};
use capfs_host::{manifest, say};

/// What was granted by a manifest, as far as it has not been taken away.
#[derive(Clone, Default)]
pub struct GrantedByManifest(Arc<Mutex<Granted>>);

#[derive(Default)]
enum Granted {
    /// It has not been granted yet.
    #[default]
    NotYet,
    /// Nor had it been when the manifest was to be read again: what was read before may not hold any more.
    Again,
    /// This.
    All(Vec<(Grant, Revocable)>),
}

/// A manifest that can be read again.
#[derive(Clone)]
pub struct Source {
    /// Its file.
    pub path: PathBuf,
    /// Say nothing of what is taken away.
    pub quiet: bool,
}

impl Source {
    /// Takes away what is not in it any more, or on other terms. A digest that the manifest had to have says nothing here: what was granted
    /// is in the manifest of that digest, and can only become less.
    fn reread(&self, granted: &mut Vec<(Grant, Revocable)>) {
        let manifest = match manifest::load(&self.path, None) {
            Ok(manifest) => manifest,
            // Nothing is taken away by mistake.
            Err(error) => return error.lines().iter().for_each(say::error),
        };
        granted.retain(|(grant, handle)| {
            let kept = manifest.wants.iter().any(|want| want.grant == *grant);
            if !kept {
                handle.revoke();
                if !self.quiet {
                    say::note("revoked", format!("{} at {}", grant.what(), grant.guest()));
                }
            }
            kept
        });
    }
}

impl GrantedByManifest {
    /// This was granted by a manifest, which is read again if that was asked for meanwhile.
    pub fn set(&self, mut all: Vec<(Grant, Revocable)>, source: Option<&Source>) {
        let mut granted = self.lock();
        if let (Granted::Again, Some(source)) = (&*granted, source) {
            source.reread(&mut all);
        }
        *granted = Granted::All(all);
    }

    /// What is to be done on each SIGHUP: reads the manifest again, and takes away what was granted by it and is not in it any
    /// more, or on other terms. What is new in it is not given to a program that runs already.
    pub fn reread(&self, source: Source) -> impl FnMut() + Send + use<> {
        let granted = self.clone();
        move || match &mut *granted.lock() {
            Granted::All(all) => source.reread(all),
            early => *early = Granted::Again,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Granted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
