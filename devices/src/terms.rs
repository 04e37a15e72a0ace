//! Whether a grant's terms can be understood, before there is a device.

use crate::grant::{DeviceKind, Grant, GrantError};
use crate::{console, crypto, dom, fetch, indexeddb, storage, task, ws};

/// Reads the terms of a grant as its device will, on a host that has everything.
///
/// # Errors
/// What is wrong with the first of them.
pub fn check(grant: &Grant) -> Result<(), GrantError> {
    match grant.device {
        DeviceKind::Fetch => fetch::check(grant),
        DeviceKind::Ws => ws::check(grant),
        DeviceKind::Crypto => crypto::Policy::from_grant(grant).map(drop),
        DeviceKind::Opfs => storage::StorageTerms::new(grant, "").map(drop),
        DeviceKind::IndexedDb => indexeddb::Policy::from_grant(grant).map(drop),
        DeviceKind::Dom => dom::Policy::from_grant(grant).map(drop),
        DeviceKind::Console => console::check(grant),
        DeviceKind::Random => grant.no_terms(),
        DeviceKind::Task => task::check(grant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_refuses_what_it_does_not_know() {
        for kind in DeviceKind::ALL {
            let needed = match kind {
                DeviceKind::Fetch | DeviceKind::Ws => ",origin=*",
                _ => "",
            };
            let flag = format!("{}{needed}", kind.name());
            assert_eq!(check(&Grant::from_flag(&flag).unwrap()), Ok(()), "{flag}");
            let unknown = Grant::from_flag(&format!("{flag},no-such-term=1")).unwrap();
            assert!(check(&unknown).is_err(), "{flag}");
        }
    }
}
