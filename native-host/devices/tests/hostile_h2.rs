//! `/cap/fetch` against a server that does over HTTP/2 what no server should (tests/servers/hostile-h2.mjs): what it sends beside
//! answers is bounded, and ends its connection.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use capfs::testkit::{READ, read_at};
use capfs::{Errno, NodeRef};
use capfs_native_devices::Host;
use capfs_native_devices::net::{Network, NetworkOptions};
use support::authority::Authority;
use support::{Conversation, grant};

/// How long what is ended by what came may take at most, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(60);

/// Frames that a flood of others may make this side send: 32,768 at once, and 2,048 a second.
const ANSWERED_MAX: usize = 32_768 + 2_048 * SOON.as_secs() as usize;

/// The server, which ends with the test.
struct Hostile {
    child: Child,
    _stdin: ChildStdin,
    ports: HashMap<String, u16>,
    /// What it has done to lose a connection, and how many frames it was sent by that.
    closed: Receiver<(String, usize)>,
    root: NodeRef,
}

impl Hostile {
    fn start() -> Hostile {
        let authority = Authority::new("localhost");
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
        fs::write(&key, authority.key.secret_der()).unwrap();
        fs::write(&certificate, &authority.certificate).unwrap();
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/servers/hostile-h2.mjs"
        );
        let mut child = Command::new("node")
            .arg(script)
            .args([key, certificate])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node, which the other suites need as well");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ports: HashMap<String, u16> = lines
            .by_ref()
            .map(Result::unwrap)
            .take_while(|line| line != "ready")
            .map(|line| {
                let (name, port) = line.split_once(' ').unwrap();
                (name.to_owned(), port.parse().unwrap())
            })
            .collect();
        let (tells, closed) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut words = line.split(' ').skip(1);
                let name = words.next().unwrap().to_owned();
                let _ = tells.send((name, words.next().unwrap().parse().unwrap()));
            }
        });
        let network = Network::new(NetworkOptions {
            roots: vec![authority.root.clone()],
            ..NetworkOptions::default()
        });
        let host = Host {
            network,
            ..Host::default()
        };
        let origins: String = ports
            .values()
            .map(|port| format!(",origin=https://localhost:{port}"))
            .collect();
        let root = host.device(&grant(&format!("fetch{origins},timeout=2m")));
        Hostile {
            _stdin: child.stdin.take().unwrap(),
            child,
            ports,
            closed,
            root: root.unwrap(),
        }
    }

    fn url(&self, name: &str) -> String {
        format!("https://localhost:{}/", self.ports[name])
    }

    /// A connection has ended, and was answered so many frames.
    fn lost(&self, name: &str) -> usize {
        let (closed, frames) = self.closed.recv_timeout(SOON).unwrap();
        assert_eq!(closed, name);
        frames
    }

    fn agent(&self) -> Conversation {
        Conversation::begin(&self.root).unwrap()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn floods_of_frames_end_their_connection() {
    let server = Hostile::start();
    let mut get = server.agent();
    for name in [
        "settings",
        "pings",
        "priorities",
        "windows",
        "unknown",
        "early",
        "empty",
    ] {
        let began = Instant::now();
        let outcome = get.get(&server.url(name));
        let error = get.text("error");
        assert_eq!(outcome, Err(Errno::Proto), "{name}: {error}");
        let told = ["too much that is no content", "excessive load"];
        assert!(
            told.iter().any(|text| error.contains(text)),
            "{name}: {error}"
        );
        // By what came, not because time was up.
        assert!(began.elapsed() < SOON, "{name}: {:?}", began.elapsed());
        let answered = server.lost(name);
        assert!(answered < ANSWERED_MAX, "{name}: {answered} frames");
    }
}

#[test]
fn a_connection_that_nobody_uses_any_more_is_not_flooded_either() {
    let server = Hostile::start();
    assert_eq!(
        server.agent().get(&server.url("later")).unwrap(),
        b"for now"
    );
    let answered = server.lost("later");
    assert!(answered < ANSWERED_MAX, "{answered} frames");
}

#[test]
fn small_frames_that_nobody_reads_end_their_connection() {
    let server = Hostile::start();
    let mut get = server.agent();
    get.tell(&format!("url {}", server.url("small"))).unwrap();
    let body = get.open("body", READ).unwrap();
    server.lost("small");
    drop(body);
}

#[test]
fn headers_have_their_limits() {
    let server = Hostile::start();
    let mut get = server.agent();
    for name in ["continued", "bomb"] {
        let outcome = get.get(&server.url(name));
        let error = get.text("error");
        assert!(
            matches!(outcome, Err(Errno::Proto | Errno::Msgsize)),
            "{name}: {outcome:?} {error}"
        );
        assert!(error.len() > 1, "{name}");
    }
}

#[test]
fn what_a_server_gives_up_costs_a_request_each() {
    let server = Hostile::start();
    let mut get = server.agent();
    for _ in 0..2_000 {
        assert_eq!(get.get(&server.url("resets")), Err(Errno::Connreset));
    }
    // All of them by one connection, which is still there.
    assert!(server.closed.try_recv().is_err());
    assert_eq!(get.get(&server.url("pushes")), Err(Errno::Proto));
    // What was not begun is asked again, where a connection has proven itself; the first of one has not.
    assert_eq!(get.get(&server.url("refuses")), Err(Errno::Connreset));
    assert_eq!(get.get(&server.url("refuses")).unwrap(), b"at last");
}

#[test]
fn an_answer_that_is_taken_back_is_whole_only_if_it_was_said_to_be() {
    let server = Hostile::start();
    let mut get = server.agent();
    for (name, before) in [("half", "half"), ("half-told", "half"), ("nothing", "")] {
        get.tell(&format!("url {}", server.url(name))).unwrap();
        let mut body = get.open("body", READ).unwrap();
        let mut seen = Vec::new();
        let outcome = loop {
            match read_at(&mut *body, 0, 100) {
                Ok(part) if part.is_empty() => break Ok(()),
                Ok(part) => seen.extend(part),
                Err(errno) => break Err(errno),
            }
        };
        assert_eq!(seen, before.as_bytes(), "{name}");
        assert_eq!(outcome, Err(Errno::Connreset), "{name}");
        drop(body);
        assert!(get.text("error").contains("before its end"), "{name}");
    }
    for name in ["whole", "trailed"] {
        let outcome = get.get(&server.url(name));
        assert_eq!(outcome.unwrap(), b"all of it", "{name}");
    }
}

#[test]
fn answers_that_have_no_content_have_none() {
    let server = Hostile::start();
    let mut get = server.agent();
    for (name, status) in [("empty-status", "204 "), ("not-changed", "304 ")] {
        assert_eq!(get.get(&server.url(name)).unwrap(), b"", "{name}");
        assert!(get.text("status").starts_with(status), "{name}");
    }
    // The connection is still there.
    assert!(server.closed.try_recv().is_err());
}

#[test]
fn white_space_around_a_header_is_no_part_of_it() {
    let server = Hostile::start();
    let mut get = server.agent();
    assert_eq!(get.get(&server.url("spaced")).unwrap(), b"all of it");
    assert_eq!(get.text("headers/x-v"), "in the  middle\n");
}
