//! Layers of terms: those of a grant, and those of each grant that narrowed it on the way to a child.
//!
//! What is asked of a device of a network must pass all of them, and what is limited is counted in each: so a child
//! never gets more than its parent has left.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;

use capfs::device::parts::{Waiters, lock};
use capfs::{Errno, MaybeSend, MaybeSync};

use crate::address::{Addresses, Network, granted};
use crate::grant::{Grant, GrantError, Term};
use crate::host_header::{HeaderSource, HostHeader};
use crate::origin::{Origin, OriginPattern};
use crate::outside::{Failure, Hold};
use crate::url::Url;

/// To whom a grant lets an agent speak, and what the host adds.
#[derive(Default)]
pub struct Reach {
    /// Which servers.
    pub origins: Vec<OriginPattern>,
    /// What the host adds for some of them.
    pub headers: Vec<HostHeader>,
    /// Addresses that are not public and may be connected to all the same.
    pub networks: Vec<Network>,
    /// The first term that names a header whose value is somewhere else. Hosts that have such places
    /// put the header there before they make a device.
    elsewhere: Option<Term>,
    /// Terms with headers, and the origins that they are for, until it is known which are granted.
    unchecked: Vec<(Term, OriginPattern)>,
}

/// Origins that an error names, of those that are granted.
const NAMED_MAX: usize = 4;

impl Reach {
    /// Reads a term, if it is one of these; whether it is.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn read(&mut self, term: &Term, schemes: &[&str]) -> Result<bool, GrantError> {
        match term.key.as_str() {
            "origin" => self.origins.push(OriginPattern::from_term(term, schemes)?),
            "header" => {
                let header = HostHeader::from_term(term, schemes)?;
                let origin = header.origin().clone();
                self.unchecked.push((term.clone(), origin));
                self.headers.push(header);
            }
            "network" => self.networks.push(Network::from_term(term)?),
            key if HeaderSource::KEYS.contains(&key) => {
                let origin = HeaderSource::check(term, schemes)?;
                self.unchecked.push((term.clone(), origin));
                self.elsewhere.get_or_insert_with(|| term.clone());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// That there is a value for each header.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn resolved(&self) -> Result<(), GrantError> {
        let refused =
            |term: &Term| Err(term.expected("this host has no such place: give the header itself"));
        self.elsewhere.as_ref().map_or(Ok(()), refused)
    }

    /// That some server was named, and that each header is for one of them: one that nobody can be sent was misspelt.
    ///
    /// # Errors
    /// - [`GrantError::Missing`]: there is no origin, with the reason
    /// - [`GrantError::Value`]: a header is for origins of which none is granted
    pub fn complete(&mut self, grant: &Grant, why: &'static str) -> Result<(), GrantError> {
        if self.origins.is_empty() {
            return Err(GrantError::Missing {
                device: grant.device.name(),
                key: "origin",
                why,
            });
        }
        for (term, origin) in std::mem::take(&mut self.unchecked) {
            if !self.origins.iter().any(|granted| granted.meets(&origin)) {
                let named = self.origins.iter().take(NAMED_MAX);
                let named: Vec<String> = named.map(ToString::to_string).collect();
                let more = self.origins.len().saturating_sub(NAMED_MAX);
                let more = match more {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let named = named.join(", ");
                return Err(term.expected(format!(
                    "its origin {origin} is not granted, but {named}{more}"
                )));
            }
        }
        Ok(())
    }
}

/// The terms of one grant.
pub trait Terms: MaybeSend + MaybeSync + 'static {
    /// To whom.
    fn reach(&self) -> &Reach;

    /// How much at once.
    fn at_once(&self) -> usize;

    /// What the file `policy` says of them.
    fn text(&self) -> String;
}

/// Terms, and what is used of them.
struct Layer<T> {
    terms: T,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    places: usize,
    /// Those of them that agents have let go of, and hosts not yet.
    ending: usize,
    /// Who waits for one of these.
    waiters: Waiters,
}

/// One of the places that each layer has so many of.
struct Place<T> {
    layers: Vec<Arc<Layer<T>>>,
    ending: AtomicBool,
}

impl<T> Place<T> {
    /// The agent is through with it.
    fn end(&self) {
        if !self.ending.swap(true, Ordering::AcqRel) {
            for layer in &self.layers {
                lock(&layer.taken).ending += 1;
            }
        }
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let ending = *self.ending.get_mut();
        for layer in &self.layers {
            let woken = {
                let mut taken = lock(&layer.taken);
                taken.places -= 1;
                taken.ending -= usize::from(ending);
                taken.waiters.take()
            };
            woken.wake();
        }
    }
}

/// The right to have one more at once, as the agent has it: dropping it says that the agent is through. The place is free when
/// its [`Hold`] is gone, too.
pub struct Permit<T>(Weak<Place<T>>);

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        if let Some(place) = self.0.upgrade() {
            place.end();
        }
    }
}

/// The terms of a grant, and of those that narrowed it.
pub struct Layers<T>(Vec<Arc<Layer<T>>>);

impl<T> Clone for Layers<T> {
    fn clone(&self) -> Self {
        Layers(self.0.clone())
    }
}

impl<T: Terms> Layers<T> {
    /// One grant's.
    pub fn new(terms: T) -> Layers<T> {
        Layers(Vec::new()).and(terms)
    }

    /// These, and one more grant's.
    pub fn and(&self, terms: T) -> Layers<T> {
        let mut layers = self.0.clone();
        layers.push(Arc::new(Layer {
            terms,
            taken: Mutex::default(),
        }));
        Layers(layers)
    }

    /// Each grant's.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|layer| &layer.terms)
    }

    /// What the file `policy` says, the narrowest last.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.all().map(Terms::text).collect();
        texts.join("and\n")
    }

    /// The limit that all of them keep.
    pub fn least(&self, limit: impl Fn(&T) -> u64) -> u64 {
        self.all().map(limit).min().unwrap_or(0)
    }

    /// Whether all of them let an agent speak to the server of a URL.
    ///
    /// # Errors
    /// - `EACCES`: they don't, or it is not one of these schemes
    pub fn reaches(&self, url: &Url, schemes: &[&str]) -> Result<(), Failure> {
        if !schemes.contains(&&*url.origin.scheme) {
            let text = format!("`{}` is not spoken here", url.origin.scheme);
            return Err(Failure::new(Errno::Acces, text));
        }
        let granted = |terms: &T| {
            let mut origins = terms.reach().origins.iter();
            origins.any(|each| each.matches(&url.origin))
        };
        if !self.all().all(granted) {
            let text = format!("the origin {} is not granted", url.origin);
            return Err(Failure::new(Errno::Acces, text));
        }
        Ok(())
    }

    /// The host's headers for an origin.
    pub fn headers(&self, origin: &Origin) -> Vec<(String, String)> {
        self.all()
            .flat_map(|terms| &terms.reach().headers)
            .filter(|header| header.is_for(origin))
            .map(HostHeader::pair)
            .collect()
    }

    /// Takes the right to have one more at once; `full` says that there are as many as there may be. `None`: there will be
    /// room as soon as what agents are through with has ended, for which [`Layers::vacancy`] waits.
    ///
    /// # Errors
    /// - `EMFILE`: there are as many as there may be, and none of them is ending
    pub fn permit(
        &self,
        full: impl Fn(usize) -> String,
    ) -> Result<Option<(Permit<T>, Hold)>, Failure> {
        // All at once, the widest first, as everybody does: nobody sees a place taken that is then not needed.
        let mut all: Vec<_> = self.0.iter().map(|layer| lock(&layer.taken)).collect();
        for (layer, taken) in self.0.iter().zip(&all) {
            let most = layer.terms.at_once();
            if taken.places >= most {
                return match taken.ending {
                    0 => Err(Failure::new(Errno::Mfile, full(most))),
                    _ => Ok(None),
                };
            }
        }
        all.iter_mut().for_each(|taken| taken.places += 1);
        drop(all);
        let place = Arc::new(Place {
            layers: self.0.clone(),
            ending: AtomicBool::new(false),
        });
        Ok(Some((Permit(Arc::downgrade(&place)), Hold::new(place))))
    }

    /// As [`Layers::permit`], once there is room.
    ///
    /// # Errors
    /// - `EMFILE`: all that was ending has made room for others, who stay
    pub async fn vacancy(
        &self,
        full: impl Fn(usize) -> String,
    ) -> Result<(Permit<T>, Hold), Failure> {
        let waiting = Vacancy {
            layers: &self.0,
            id: WAITERS.fetch_add(1, Ordering::Relaxed),
        };
        poll_fn(|context| {
            // Registered before anything is looked at: what ends from now on wakes.
            for layer in waiting.layers {
                let woken = lock(&layer.taken).waiters.register(waiting.id, context);
                woken.wake();
            }
            match self.permit(&full) {
                Ok(Some(permit)) => Poll::Ready(Ok(permit)),
                Ok(None) => Poll::Pending,
                Err(failure) => Poll::Ready(Err(failure)),
            }
        })
        .await
    }
}

/// Numbers of those who wait for room.
static WAITERS: AtomicU64 = AtomicU64::new(0);

/// Somebody who waits for room.
struct Vacancy<'a, T> {
    layers: &'a [Arc<Layer<T>>],
    id: u64,
}

impl<T> Drop for Vacancy<'_, T> {
    fn drop(&mut self) {
        for layer in self.layers {
            lock(&layer.taken).waiters.forget(self.id);
        }
    }
}

impl<T: Terms> Addresses for Layers<T> {
    fn allowed(&self, origin: &Origin, address: IpAddr) -> bool {
        self.all().all(|terms| {
            let reach = terms.reach();
            granted(&reach.origins, &reach.networks, origin, address)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    struct AtOnce(usize, Reach);

    impl Terms for AtOnce {
        fn reach(&self) -> &Reach {
            &self.1
        }

        fn at_once(&self) -> usize {
            self.0
        }

        fn text(&self) -> String {
            format!("at-once {}\n", self.0)
        }
    }

    fn terms(most: usize) -> AtOnce {
        AtOnce(most, Reach::default())
    }

    #[test]
    fn headers_are_for_origins_that_are_granted() {
        let complete = |terms: &str| {
            let grant = Grant::from_flag(&format!("fetch,{terms}")).unwrap();
            crate::terms::check(&grant).map_err(|error| error.to_string())
        };
        for value in [
            "header=https://b.example X-Key: s3cr3t",
            "header-file=https://b.example X-Key: @token",
            "header-env=https://b.example X-Key: Bearer @TOKEN",
        ] {
            let (key, _) = value.split_once('=').unwrap();
            // Wherever it stands among the others.
            for terms in [
                format!("origin=https://a.example:8443,origin=http://*.example.org,{value}"),
                format!("{value},origin=https://a.example:8443,origin=http://*.example.org"),
            ] {
                let told = format!(
                    "`{key}`: its origin https://b.example is not granted, but https://a.example:8443, http://*.example.org"
                );
                assert_eq!(complete(&terms), Err(told));
            }
            for origin in ["https://b.example", "https://*.example", "https://*:*", "*"] {
                assert_eq!(complete(&format!("origin={origin},{value}")), Ok(()));
            }
        }
        let many: Vec<_> = (0..9).map(|n| format!("origin=https://a{n}")).collect();
        let many = many.join(",");
        let error = complete(&format!("{many},header=https://b X-Key: 1")).unwrap_err();
        assert!(error.ends_with("https://a3 and 5 more"), "{error}");
    }

    #[test]
    fn what_a_child_uses_its_parent_has_less_of() {
        let parent = Layers::new(terms(3));
        let child = parent.and(terms(2));
        let wide = parent.and(terms(9));
        assert_eq!(child.text(), "at-once 3\nand\nat-once 2\n");
        assert_eq!(wide.least(|terms| terms.at_once() as u64), 3);
        let permit = |layers: &Layers<AtOnce>| {
            let taken = layers.permit(|most| most.to_string());
            taken.map(|taken| taken.expect("nothing is ending"))
        };
        let full = |layers: &Layers<AtOnce>| permit(layers).err().map(|failure| failure.text);
        let (first, second) = (permit(&child).ok(), permit(&child).ok());
        assert_eq!(full(&child), Some("2".to_owned()));
        let third = permit(&wide).ok();
        assert_eq!(
            [full(&parent), full(&wide)],
            [Some("3".to_owned()), Some("3".to_owned())]
        );
        drop(second);
        assert_eq!(full(&child), None);
        // What was refused counts nowhere.
        drop((first, third));
        let all = [&parent, &child, &wide].map(|layers| permit(layers).ok());
        assert!(all.iter().all(Option::is_some));
        assert_eq!(full(&wide), Some("3".to_owned()));
    }

    #[test]
    fn what_is_ending_counts_until_its_host_has_let_go() {
        let parent = Layers::new(terms(9));
        let child = parent.and(terms(1));
        let full = |most: usize| format!("{most} are there");
        let mut context = Context::from_waker(Waker::noop());
        let (permit, hold) = child.permit(full).unwrap().unwrap();
        assert_eq!(
            child.permit(full).err().map(|failure| failure.text),
            Some("1 are there".to_owned())
        );
        let kept = hold.clone();
        drop((permit, hold));
        // It isn't full for good, so that it is worth to wait.
        assert!(child.permit(full).unwrap().is_none());
        let mut vacancy = std::pin::pin!(child.vacancy(full));
        assert!(vacancy.as_mut().poll(&mut context).is_pending());
        drop(kept);
        let Poll::Ready(Ok(next)) = vacancy.as_mut().poll(&mut context) else {
            panic!("there is room");
        };
        // The last place was taken by somebody who stays.
        let mut late = std::pin::pin!(child.vacancy(full));
        assert!(matches!(
            late.as_mut().poll(&mut context),
            Poll::Ready(Err(_))
        ));
        drop(next);
        let taken = lock(&parent.0[0].taken);
        assert_eq!((taken.places, taken.ending), (0, 0));
    }
}
