//! Sockets that listen before the program starts, and how the program learns of them.
//!
//! Preview 1 has no call that makes a socket, so a server is handed one: `--listen HOST:PORT` binds it, and the
//! program finds it open behind its preopened directories: C libraries look for those from descriptor 3 on
//! and stop at the first that is none. The program learns of it by two variables, after sd_listen_fds(3):
//! `LISTEN_FDS` is how many listeners there are, `LISTEN_FDS_START` is the descriptor of the first, which
//! is systemd's 3 where no directory was granted.

use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;

use crate::device::socket::HostListener;

/// How many listeners there are.
const COUNT: &str = "LISTEN_FDS";

/// The descriptor of the first of them; the others follow it.
const START: &str = "LISTEN_FDS_START";

/// Descriptors before the preopened directories.
const STANDARD_STREAMS: usize = 3;

/// An address to listen at: `HOST:PORT`, where an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenGrant(String);

impl FromStr for ListenGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080";
        let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || port.parse::<u16>().is_err() || host.contains(':') && !bracketed {
            return Err(EXPECTED.to_owned());
        }
        Ok(ListenGrant(text.to_owned()))
    }
}

impl std::fmt::Display for ListenGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A socket that listens.
pub struct Listening {
    /// Where; the port is the system's choice where 0 was asked for.
    pub address: SocketAddr,
    /// Its number for the program.
    pub descriptor: usize,
    /// It.
    pub listener: HostListener,
}

/// Listens at every address, for a program without a directory; see [`behind`].
///
/// # Errors
/// A message that names the address.
pub fn listen(grants: &[ListenGrant]) -> Result<Vec<Listening>, String> {
    let open = |(index, ListenGrant(text)): (usize, &ListenGrant)| {
        let listener = TcpListener::bind(text.as_str())?;
        Ok(Listening {
            address: listener.local_addr()?,
            descriptor: STANDARD_STREAMS + index,
            listener: HostListener::new(listener)?,
        })
    };
    grants
        .iter()
        .enumerate()
        .map(|grant| {
            open(grant).map_err(|error: std::io::Error| {
                format!("can't listen at `{}`: {error}", grant.1.0)
            })
        })
        .collect()
}

/// Numbers sockets for a program with so many preopened directories.
pub fn behind(preopens: usize, listening: &mut [Listening]) {
    for (index, socket) in listening.iter_mut().enumerate() {
        socket.descriptor = STANDARD_STREAMS + preopens + index;
    }
}

/// Tells the program of its listeners, unless somebody set these variables otherwise.
pub fn announce(listening: &[Listening], env: &mut Vec<(String, String)>) {
    let Some(first) = listening.first() else {
        return;
    };
    for (name, value) in [(COUNT, listening.len()), (START, first.descriptor)] {
        if !env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:0", "localhost:80", "[::1]:65535", "0.0.0.0:1"] {
            assert!(good.parse::<ListenGrant>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "80",
            ":80",
            "host",
            "host:",
            "host:65536",
            "host:http",
            "::1:80",
        ] {
            assert!(bad.parse::<ListenGrant>().is_err(), "{bad}");
        }
    }

    #[test]
    fn listeners_come_behind_the_directories_and_are_announced() {
        let grant: ListenGrant = "127.0.0.1:0".parse().unwrap();
        let mut listening = listen(&[grant.clone(), grant]).unwrap();
        behind(2, &mut listening);
        let numbers: Vec<_> = listening.iter().map(|one| one.descriptor).collect();
        assert_eq!(numbers, [5, 6]);
        assert_ne!(listening[0].address.port(), 0);
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut env = vec![variable("LISTEN_FDS", "mine")];
        announce(&listening, &mut env);
        assert_eq!(
            env,
            [
                variable("LISTEN_FDS", "mine"),
                variable("LISTEN_FDS_START", "5")
            ]
        );
        let mut env = Vec::new();
        announce(&[], &mut env);
        assert_eq!(env, []);
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = listen(&[address.parse().unwrap()]).err().unwrap();
        assert!(error.contains(&address), "{error}");
    }
}
