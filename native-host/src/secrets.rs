//! Headers that a host adds whose values are in files and variables: what is in an argument can be read by everybody on a machine
//! (proc(5), `cmdline`), and what is in a manifest by whoever has the manifest.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use capfs_devices::grant::{Grant, Term};
use capfs_devices::host_header::HeaderSource;

use crate::read::first_line;
use zeroize::Zeroizing;

/// The files that a grant takes headers from.
pub fn files(grant: &Grant) -> impl Iterator<Item = &Path> {
    let terms = grant.terms.iter();
    let terms = terms.filter(|term| term.key == "header-file");
    terms.filter_map(|term| Some(Path::new(HeaderSource::of(term)?.place)))
}

/// Whether others than its owner can read a file with a secret in it.
pub fn is_readable_by_others(file: &Path) -> bool {
    let metadata = std::fs::metadata(file);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o044 != 0)
}

/// A grant whose files are relative to a folder.
pub fn relative_to(folder: &Path, mut grant: Grant) -> Grant {
    for term in &mut grant.terms {
        let source = HeaderSource::of(term);
        if let (Some(HeaderSource { head, place }), "header-file") = (source, &*term.key) {
            let place: PathBuf = folder.join(place);
            term.value = format!("{head}@{}", place.display());
        }
    }
    grant
}

/// The grant with all headers in it.
///
/// # Errors
/// A file or a variable that can't be read, named; never what is in it.
pub fn resolved(grant: &Grant) -> Result<Grant, String> {
    let mut grant = grant.clone();
    for term in &mut grant.terms {
        if let Some(whole) = whole(term)? {
            *term = whole;
        }
    }
    Ok(grant)
}

fn whole(term: &Term) -> Result<Option<Term>, String> {
    let Some(source) = HeaderSource::of(term) else {
        return Ok(None);
    };
    let place = source.place;
    let value = match &*term.key {
        "header-file" => first_line(Path::new(place))
            .map_err(|error| format!("can't read a header from `{place}`: {error}"))?,
        _ => match std::env::var(place) {
            Ok(value) if !value.is_empty() => Zeroizing::new(value),
            _ => {
                return Err(format!(
                    "the variable `{place}`, which has a header, is not set"
                ));
            }
        },
    };
    Ok(Some(source.with(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_files() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("token"), "s3cr3t\nmore").unwrap();
        let grant = Grant::from_flag(
            "fetch,origin=*,header-file=https://a:8443 Authorization: Bearer @token",
        );
        let grant = relative_to(scratch.path(), grant.unwrap());
        let place = scratch.path().join("token");
        assert_eq!(files(&grant).collect::<Vec<_>>(), [place]);
        let whole = resolved(&grant).unwrap();
        assert_eq!(
            whole.terms[1].value,
            "https://a:8443 Authorization: Bearer s3cr3t"
        );
        assert!(!whole.shown().contains("s3cr3t"));
        std::fs::write(scratch.path().join("token"), "").unwrap();
        assert!(
            resolved(&grant)
                .unwrap_err()
                .contains("its first line is empty")
        );
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let grant =
            Grant::from_flag("ws,origin=*,header-env=wss://a X-Key: @CAPFS_TEST_UNSET").unwrap();
        assert!(resolved(&grant).unwrap_err().contains("`CAPFS_TEST_UNSET`"));
    }
}
