//! Whether a grant's terms can be understood, before there is a device.

pub use crate::registry::check;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Term;
    use crate::grant::{DeviceKind, Grant};

    /// A grant of a device with the terms that it needs and these.
    fn flag(kind: DeviceKind, others: &[(&str, &str)]) -> Grant {
        let needed = kind.description().terms.iter().filter(|term| term.needed);
        let needed = needed.map(|term| (term.key, term.example));
        let terms = needed.chain(others.iter().copied());
        let terms = terms.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Grant::from_pairs(kind.name(), terms).unwrap()
    }

    fn terms() -> impl Iterator<Item = (DeviceKind, &'static Term)> {
        let all = DeviceKind::ALL.into_iter();
        all.flat_map(|kind| {
            kind.description()
                .terms
                .iter()
                .map(move |term| (kind, term))
        })
    }

    #[test]
    fn every_device_refuses_what_it_does_not_know() {
        for kind in DeviceKind::ALL {
            assert_eq!(check(&flag(kind, &[])), Ok(()));
            assert!(check(&flag(kind, &[("no-such-term", "1")])).is_err());
        }
    }

    #[test]
    fn every_term_that_is_described_is_known_with_what_is_said_of_it() {
        for (kind, term) in terms() {
            // A header is for an origin that is granted.
            for value in std::iter::once(&term.example).chain(term.choices) {
                let grant = flag(kind, &[(term.key, value)]);
                assert_eq!(check(&grant), Ok(()), "{}", grant.to_flag());
            }
            // Whatever is more than a text can be misspelt.
            if !term.choices.is_empty() || ["SIZE", "N", "TIME", "N/s"].contains(&term.value) {
                let grant = flag(kind, &[(term.key, "10 potatoes")]);
                assert!(check(&grant).is_err(), "{}", grant.to_flag());
            }
        }
    }

    #[test]
    fn what_is_needed_is_missed() {
        for (kind, term) in terms().filter(|(_, term)| term.needed) {
            let mut grant = flag(kind, &[]);
            grant.terms.retain(|other| other.key != term.key);
            assert!(
                check(&grant).is_err(),
                "{} without {}",
                kind.name(),
                term.key
            );
        }
    }
}
