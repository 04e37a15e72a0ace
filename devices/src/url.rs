//! Addresses on the web, taken apart. Hosts parse them by the [URL standard](https://url.spec.whatwg.org); the tables that
//! it takes are too large for a kernel that has a browser's around it.

use crate::origin::Origin;

/// An absolute URL in the standard's normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// All of it.
    pub href: String,
    /// Scheme, host and port.
    pub origin: Origin,
    /// The path, with its first slash.
    pub path: String,
    /// What follows `?`, if there is one.
    pub query: Option<String>,
    /// What follows `#`, if there is one.
    pub fragment: Option<String>,
    /// A user name or a password is in it.
    pub credentials: bool,
}

impl Url {
    /// Takes the fragment of the URL that led here by a redirect, where this one has none of its own
    /// ([Fetch, HTTP-redirect fetch](https://fetch.spec.whatwg.org/#http-redirect-fetch)).
    pub fn inherit_fragment(&mut self, from: &Url) {
        if let (None, Some(fragment)) = (&self.fragment, &from.fragment) {
            self.href = format!("{}#{fragment}", self.href);
            self.fragment = Some(fragment.clone());
        }
    }
}

/// Bytes of a URL, at most: what servers take.
pub const URL_MAX: usize = 8 << 10;
