//! `/cap/fetch` and `/cap/ws` against a server that does what no server should (tests/servers/hostile.mjs): whatever it does costs its own
//! connection.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use capfs::account::Account;
use capfs::testkit::{READ, READ_WRITE, read_at, walk, write_at};
use capfs::{Errno, Interest, NodeRef, Op, OpenFile, WriteAt};
use capfs_devices::audit::{Call, CallObserver};
use capfs_devices::fetch::{LINGER, RESPONSE_FIELDS_MAX, RESPONSE_HEADERS_MAX};
use capfs_native_devices::Host;
use support::{Conversation, WRITE, all, device, grant, write_all};

/// The server, which ends with the test.
struct Hostile {
    child: Child,
    _stdin: ChildStdin,
    address: String,
}

impl Hostile {
    fn start() -> Hostile {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/servers/hostile.mjs"
        );
        let mut child = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node, which the other suites need as well");
        let mut address = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut address).unwrap();
        Hostile {
            _stdin: child.stdin.take().unwrap(),
            child,
            address: address.trim().to_owned(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    fn ws(&self, path: &str) -> String {
        self.url(path).replace("http", "ws")
    }

    fn fetch(&self, terms: &str) -> NodeRef {
        device(&format!("fetch,origin={}{terms}", self.address))
    }

    fn sockets(&self, terms: &str) -> NodeRef {
        device(&format!("ws,origin={}{terms}", self.ws("")))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connected(root: &NodeRef, url: &str) -> (Conversation, Box<dyn OpenFile>) {
    let mut agent = Conversation::begin(root).unwrap();
    agent.tell(&format!("connect {url}")).unwrap();
    let data = agent.open("data", READ_WRITE).unwrap();
    (agent, data)
}

#[test]
fn answers_without_end_are_given_up() {
    let server = Hostile::start();
    let mut get = Conversation::begin(&server.fetch(",timeout=60s")).unwrap();
    for (path, errno, text) in [
        ("/continue", Errno::Proto, "too much that is no content"),
        ("/head", Errno::Msgsize, "over a limit: 512 of them"),
        ("/extensions", Errno::Proto, "extensions"),
        ("/members", Errno::Proto, "stand for nothing"),
        ("/chunk-size", Errno::Proto, "chunk size"),
        ("/switches", Errno::Proto, "not asked for"),
    ] {
        let began = Instant::now();
        let outcome = get.get(&server.url(path));
        let error = get.text("error");
        assert_eq!(outcome, Err(errno), "{path}: {error}");
        assert!(error.contains(text) && error.len() > 1, "{path}: {error}");
        // By what came, not because time was up.
        assert!(began.elapsed() < Duration::from_secs(55), "{path}");
    }
    // The body was whole before the trailers, which nobody waits for beyond their limit.
    assert!(get.get(&server.url("/trailers")).is_err());
    assert_eq!(get.get(&server.url("/hops?n=1")).unwrap(), b"arrived");
}

#[test]
fn slow_answers_end_with_their_time() {
    let server = Hostile::start();
    let mut get = Conversation::begin(&server.fetch(",timeout=300ms")).unwrap();
    assert_eq!(get.get(&server.url("/slow-head")), Err(Errno::Timedout));
    // A body that comes is read as it comes, and given up when its reader is through.
    get.tell(&format!("url {}", server.url("/slow-body")))
        .unwrap();
    let mut body = get.open("body", READ).unwrap();
    assert_eq!(read_at(&mut *body, 0, 1).unwrap(), b"x");
    assert_eq!(read_at(&mut *body, 0, 1).unwrap(), b"x");
    drop(body);
    assert_eq!(get.get(&server.url("/hops?n=0")).unwrap(), b"arrived");
}

#[test]
fn headers_have_room_and_their_limits_are_told() {
    let server = Hostile::start();
    let mut get = Conversation::begin(&server.fetch("")).unwrap();
    // As much as is promised, in few and in many.
    for (count, size) in [(120, 2_000), (500, 400)] {
        let path = format!("/fields?n={count}&size={size}");
        assert_eq!(get.get(&server.url(&path)).unwrap(), b"all of them");
        assert_eq!(get.text("headers/x-7").len(), size + 1);
    }
    for (path, limit) in [
        ("/fields?n=150&size=2000", RESPONSE_HEADERS_MAX),
        ("/fields?n=600&size=10", RESPONSE_FIELDS_MAX),
    ] {
        assert_eq!(get.get(&server.url(path)), Err(Errno::Msgsize), "{path}");
        let error = get.text("error");
        assert!(error.contains(&limit.to_string()), "{error}");
    }
}

#[test]
fn headers_folded_and_repeated_are_one_line() {
    let server = Hostile::start();
    let mut get = Conversation::begin(&server.fetch("")).unwrap();
    get.get(&server.url("/folded")).unwrap();
    let folded = get.text("headers/x-folded");
    let words: Vec<_> = folded.split_ascii_whitespace().collect();
    assert_eq!((words, folded.lines().count()), (vec!["one", "two"], 1));
    get.get(&server.url("/repeated")).unwrap();
    assert_eq!(get.text("headers/x-twice"), "one, two\n");
    assert_eq!(get.text("headers/etag"), "\"a\", \"b\n");
    assert_eq!(get.text("headers/set-cookie"), "a=1, b\nc=2\n");
    let header = get.text("header");
    assert!(
        header.contains("set-cookie: a=1, b\nset-cookie: c=2\nx-twice: one, two\n"),
        "{header}"
    );
}

#[test]
fn redirects_to_the_letter() {
    let server = Hostile::start();
    let mut get = Conversation::begin(&server.fetch("")).unwrap();
    let to = "/location?to=/caf\u{e9}%3Fgr%C3%BC%C3%9Fe";
    let body = String::from_utf8(get.get(&server.url(to)).unwrap()).unwrap();
    assert!(
        body.starts_with("GET /caf%C3%A9?gr%C3%BC%C3%9Fe "),
        "{body}"
    );
    assert_eq!(get.get(&server.url("/locations")), Err(Errno::Proto));
}

#[test]
fn every_registered_status_has_words() {
    let server = Hostile::start();
    let mut get = Conversation::begin(&server.fetch("")).unwrap();
    for code in 200..600 {
        let known = hyper::StatusCode::from_u16(code).unwrap();
        if known.canonical_reason().is_some() && ![204, 304].contains(&code) {
            get.get(&server.url(&format!("/status?code={code}")))
                .unwrap();
            let status = get.text("status");
            assert!(status.len() > "200 \n".len(), "{status}");
        }
    }
    get.get(&server.url("/status?code=599")).unwrap();
    assert_eq!(get.text("status"), "599\n");
}

/// Keeps what it is told.
#[derive(Default)]
struct Calls(Mutex<Vec<String>>);

impl CallObserver for Calls {
    fn called(&self, call: &Call<'_>) {
        let outcome = call.outcome.map_or_else(Errno::name, |()| "ok");
        let path = call.url.split('/').skip(3).collect::<Vec<_>>().join("/");
        let status = call
            .status
            .map_or(String::new(), |status| status.to_string());
        let line = format!(
            "{} {} /{path} {status} {outcome}",
            call.operation, call.method
        );
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn every_address_is_told_and_counts_against_the_rate() {
    let server = Hostile::start();
    let calls: Arc<Calls> = Arc::default();
    let taken = |calls: &Calls| std::mem::take(&mut *calls.0.lock().unwrap());
    let terms = format!("fetch,origin={},rate=4/m,timeout=2s", server.address);
    let capability = Host::default().capability(&grant(&terms)).unwrap();
    capability.observe_calls(calls.clone());
    let less = capability
        .narrowed(
            &grant(&format!("fetch,origin={},timeout=400ms", server.address)),
            &Account::unlimited(),
        )
        .unwrap();
    let own: Arc<Calls> = Arc::default();
    less.observe_calls(own.clone());
    let mut get = Conversation::begin(less.root()).unwrap();
    assert_eq!(get.get(&server.url("/hops?n=2")).unwrap(), b"arrived");
    let told = [
        "request GET /hops?n=2 302 ok",
        "request GET /hops?n=1 302 ok",
        "request GET /hops?n=0 200 ok",
    ];
    // Both the child's observer and the parent's are told.
    assert_eq!(
        (taken(&calls), taken(&own)),
        (
            told.map(str::to_owned).to_vec(),
            told.map(str::to_owned).to_vec()
        )
    );
    // The fourth of this minute is the last one: the redirect would have to wait.
    assert_eq!(get.get(&server.url("/hops?n=1")), Err(Errno::Timedout));
    assert_eq!(
        taken(&calls),
        [
            "request GET /hops?n=1 302 ok",
            "request GET /hops?n=0  ETIMEDOUT"
        ]
    );
    // Who gives up before it is their turn has asked nobody.
    let capability = Host::default()
        .capability(&grant(&format!(
            "fetch,origin={},rate=1/m,timeout=5m",
            server.address
        )))
        .unwrap();
    capability.observe_calls(calls.clone());
    let mut get = Conversation::begin(capability.root()).unwrap();
    get.get(&server.url("/hops?n=0")).unwrap();
    assert_eq!(taken(&calls), ["request GET /hops?n=0 200 ok"]);
    let body = walk(&get.root, &format!("{}/body", get.number)).unwrap();
    let Op::Later(mut opening) = body.open(READ) else {
        panic!("it is to wait for a minute");
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(opening.as_mut().poll(&mut context).is_pending());
    drop(opening);
    assert_eq!(taken(&calls), [""; 0]);
    // What was given up later was asked all the same.
    let capability = Host::default()
        .capability(&grant(&format!(
            "fetch,origin={},timeout=100ms",
            server.address
        )))
        .unwrap();
    capability.observe_calls(calls.clone());
    let mut get = Conversation::begin(capability.root()).unwrap();
    assert_eq!(get.get(&server.url("/slow-head")), Err(Errno::Timedout));
    assert_eq!(taken(&calls), ["request GET /slow-head  ETIMEDOUT"]);
    let sockets = Host::default()
        .capability(&grant(&format!("ws,origin={}", server.ws(""))))
        .unwrap();
    sockets.observe_calls(calls.clone());
    drop(connected(sockets.root(), &server.ws("/ws/echo")));
    assert_eq!(taken(&calls), ["connect GET /ws/echo 101 ok"]);
}

#[test]
fn a_server_of_which_nobody_could_be_told_is_not_asked() {
    /// Has room for so many more.
    struct Room(AtomicUsize);
    impl CallObserver for Room {
        fn called(&self, _call: &Call<'_>) {
            let less = |room: usize| Some(room.saturating_sub(1));
            let _ = self
                .0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        }
        fn ready(&self) -> Result<(), Errno> {
            match self.0.load(Ordering::SeqCst) {
                0 => Err(Errno::Nospc),
                _ => Ok(()),
            }
        }
    }
    let server = Hostile::start();
    let mut other = Conversation::begin(&server.fetch("")).unwrap();
    let mut asked = || -> usize {
        let text = String::from_utf8(other.get(&server.url("/asked")).unwrap());
        text.unwrap().parse().unwrap()
    };
    let observed = |terms: &str, room: usize| {
        let capability = Host::default().capability(&grant(terms)).unwrap();
        let room = Arc::new(Room(AtomicUsize::new(room)));
        capability.observe_calls(room.clone());
        (capability, room)
    };
    let terms = format!("fetch,origin={}", server.address);
    let (capability, room) = observed(&terms, 2);
    // What a child has of it is told to its parent's observer, too.
    let child = capability
        .narrowed(&grant(&terms), &Account::unlimited())
        .unwrap();
    let before = asked();
    let mut get = Conversation::begin(child.root()).unwrap();
    assert_eq!(get.get(&server.url("/hops?n=5")), Err(Errno::Nospc));
    assert!(get.text("error").contains("audit"), "{}", get.text("error"));
    // Two hops, and the question itself.
    assert_eq!(asked() - before, 3);
    room.0.store(9, Ordering::SeqCst);
    assert_eq!(get.get(&server.url("/hops?n=5")).unwrap(), b"arrived");

    let (sockets, _) = observed(&format!("ws,origin={}", server.ws("")), 0);
    let before = asked();
    let mut agent = Conversation::begin(sockets.root()).unwrap();
    let connect = format!("connect {}", server.ws("/ws/echo"));
    assert_eq!(agent.tell(&connect), Err(Errno::Nospc));
    assert_eq!(asked() - before, 1);
}

#[test]
fn an_address_that_is_refused_is_for_the_audit_alone() {
    struct Details(Mutex<Vec<String>>);
    impl CallObserver for Details {
        fn called(&self, call: &Call<'_>) {
            let detail = call.detail.unwrap_or_default().to_owned();
            self.0.lock().unwrap().push(detail);
        }
    }
    let details = Arc::new(Details(Mutex::default()));
    let capability = Host::default()
        .capability(&grant("fetch,origin=*"))
        .unwrap();
    capability.observe_calls(details.clone());
    let mut get = Conversation::begin(capability.root()).unwrap();
    assert_eq!(get.get("http://localhost:1/"), Err(Errno::Acces));
    let error = get.text("error");
    assert!(
        !error.contains("127.0.0.1") && !error.contains("::1"),
        "{error}"
    );
    assert!(error.contains("not public and not granted"), "{error}");
    let told = details.0.lock().unwrap().join("\n");
    assert!(told.contains("127.0.0.1") || told.contains("::1"), "{told}");
}

#[test]
fn a_body_that_nobody_takes_counts_until_it_is_cut() {
    let server = Hostile::start();
    let root = server.fetch(",method=POST,method=GET,concurrency=1,timeout=20s");
    let mut post = Conversation::begin(&root).unwrap();
    post.tell(&format!("url {}", server.url("/early"))).unwrap();
    let mut upload = post.open("postbody", WRITE).unwrap();
    write_all(&mut *upload, &vec![7; 12 << 20]).unwrap();
    drop(upload);
    let began = Instant::now();
    assert_eq!(post.body().unwrap(), b"enough");
    // The next one waits until what is left of the first was cut off.
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&server.url("/hops?n=0")).unwrap(), b"arrived");
    let waited = began.elapsed().as_millis() as u64;
    assert!(
        (LINGER - 500..LINGER + 10_000).contains(&waited),
        "{waited} ms"
    );
}

#[test]
fn floods_end_their_connection() {
    let server = Hostile::start();
    let root = server.sockets("");
    for path in ["/ws/pings", "/ws/fragments"] {
        let (agent, mut data) = connected(&root, &server.ws(path));
        assert_eq!(read_at(&mut *data, 0, 9), Err(Errno::Proto), "{path}");
        assert!(
            agent.text("error").contains("pings and small fragments"),
            "{path}: {}",
            agent.text("error")
        );
        assert!(agent.text("status").starts_with("Hangup 1006"), "{path}");
    }
    let (_agent, mut data) = connected(&root, &server.ws("/ws/echo"));
    write_at(&mut *data, WriteAt::End, b"still there").unwrap();
    assert_eq!(read_at(&mut *data, 0, 99).unwrap(), b"still there");
}

#[test]
fn closes_in_the_server_s_own_words() {
    let server = Hostile::start();
    let root = server.sockets("");
    for (code, reason) in [
        (1000, ""),
        (1012, "back soon"),
        (1014, "bad gateway"),
        (2000, "x"),
        (999, ""),
        (4999, "y"),
    ] {
        let url = server.ws(&format!(
            "/ws/close?code={code}&reason={}",
            reason.replace(' ', "+")
        ));
        let (agent, mut data) = connected(&root, &url);
        assert_eq!(all(&mut *data).unwrap(), b"", "{code}");
        let status = format!("Hangup {code} {reason}");
        assert_eq!(agent.text("status").trim_end(), status.trim_end());
    }
    for code in [1005, 1006, 1015] {
        let (agent, mut data) = connected(&root, &server.ws(&format!("/ws/close?code={code}")));
        assert_eq!(read_at(&mut *data, 0, 9), Err(Errno::Proto), "{code}");
        assert!(agent.text("error").contains(&code.to_string()));
    }
}

#[test]
fn connections_count_until_they_are_over() {
    let server = Hostile::start();
    for path in ["/ws/deaf", "/ws/mute", "/ws/chatty"] {
        let root = server.sockets(",connections=1,timeout=20s,max-message=2MiB");
        let (mut agent, mut data) = connected(&root, &server.ws(path));
        agent.tell("binary").unwrap();
        if path == "/ws/deaf" {
            // As much as the server's system and this one take, and then some that is still here.
            let mut context = Context::from_waker(Waker::noop());
            while data.poll_ready(&mut context, Interest::Write).is_ready() {
                write_at(&mut *data, WriteAt::End, &vec![7; 2 << 20]).unwrap();
            }
        }
        let began = Instant::now();
        drop((agent, data));
        // There is room when the first is over, by itself or by force; until then the next one waits.
        let (_next, mut data) = connected(&root, &server.ws("/ws/echo"));
        let waited = began.elapsed().as_millis() as u64;
        let least = if path == "/ws/chatty" {
            0
        } else {
            LINGER - 500
        };
        assert!(
            (least..LINGER + 10_000).contains(&waited),
            "{path}: {waited} ms"
        );
        write_at(&mut *data, WriteAt::End, b"hello").unwrap();
        assert_eq!(read_at(&mut *data, 0, 99).unwrap(), b"hello", "{path}");
        // And one that is there to stay is not waited for.
        let mut more = Conversation::begin(&root).unwrap();
        let refused = more.tell(&format!("connect {}", server.ws("/ws/echo")));
        assert_eq!(refused, Err(Errno::Mfile));
    }
}
