//! Replacing a file so that it is always whole.

use std::fs::{self, File};
use std::io::Write;

use crate::{Result, Said};

/// Gives a file other contents: they are written beside it, synced, and take its name. Whatever happens, the file is what it was or
/// what it is to be. That the name has changed is durable once the directory is synced.
///
/// # Errors
/// What writing, syncing and renaming say; the file is then what it was.
pub fn replace(path: &str, bytes: &[u8]) -> Result<()> {
    let new = format!("{path}.new");
    let written = File::create(&new)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .said(&new)
        .and_then(|()| fs::rename(&new, path).said(path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
