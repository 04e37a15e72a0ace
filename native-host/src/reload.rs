//! A manifest that is read again: what is no longer in it is taken away from the program, which goes on.

use std::io;
use std::path::PathBuf;

use capfs_host::grants::{Grant, Revocable};
use capfs_host::manifest;
use capfs_native_devices::signals::on_hangup;

/// Reads the manifest again on each SIGHUP, and takes away what was granted by it and is not in it any more, or on
/// other terms. What is new in it is not given to a program that runs already.
///
/// # Errors
/// Signals can't be handled.
pub fn on_signal(
    path: PathBuf,
    mut granted: Vec<(Grant, Revocable)>,
    quiet: bool,
) -> io::Result<()> {
    on_hangup(move || {
        let manifest = match manifest::load(&path) {
            Ok(manifest) => manifest,
            // Nothing is taken away by mistake.
            Err(error) => {
                for line in error.to_string().lines() {
                    eprintln!("error: {line}");
                }
                return;
            }
        };
        granted.retain(|(grant, handle)| {
            let kept = manifest.wants.iter().any(|want| want.grant == *grant);
            if !kept {
                handle.revoke();
                if !quiet {
                    eprintln!("revoked: {} at {}", grant.what(), grant.guest());
                }
            }
            kept
        });
    })
}
