//! Where names may lead, TLS and HTTP/2.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use capfs::testkit::READ;
use capfs::{Errno, NodeRef};
use capfs_devices::fetch::RECEIVE_WINDOW;
use capfs_native_devices::Host;
use capfs_native_devices::net::{Network, NetworkOptions, Resolve};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use support::authority::Authority;
use support::{Conversation, Server, all, grant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A resolver that a test writes: each question takes the next answer, and the last one stays.
struct Scripted {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    questions: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Scripted> {
        let addresses =
            |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Scripted {
            answers: Mutex::new(answers.iter().map(addresses).collect()),
            questions: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Scripted {
    fn resolve(
        &self,
        _host: &str,
        _port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        };
        Box::pin(async move { Ok(answer) })
    }
}

fn device(resolver: Arc<Scripted>, flag: &str) -> NodeRef {
    let options = NetworkOptions {
        resolver,
        ..NetworkOptions::default()
    };
    let network = Network::new(options);
    let host = Host {
        network,
        ..Host::default()
    };
    host.device(&grant(flag)).unwrap()
}

#[test]
fn names_that_lead_to_this_machine() {
    let server = Server::start(|call| call.answer("200 OK", "", b"secret"));
    let at = server.address.to_string();
    let port = server.address.port();
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    for address in [
        at.as_str(),
        &mapped,
        "10.0.0.1:80",
        "169.254.169.254:80",
        "[fe80::1]:80",
        "0.0.0.0:80",
    ] {
        let root = device(Scripted::new(&[&[address]]), "fetch,origin=*");
        let mut get = Conversation::begin(&root).unwrap();
        assert_eq!(get.get("http://a.example/"), Err(Errno::Acces), "{address}");
        assert!(
            get.text("error").contains("is not public and not granted"),
            "{address}"
        );
    }
    // Literals are asked about, too, where a wildcard lets them through.
    let root = device(Scripted::new(&[&[]]), "fetch,origin=*");
    let mut get = Conversation::begin(&root).unwrap();
    for host in [
        &*at,
        &format!("[::ffff:127.0.0.1]:{port}"),
        &format!("127.1:{port}"),
        "[::1]",
        "localhost.",
    ] {
        let outcome = get.get(&format!("http://{host}/"));
        assert!(
            matches!(outcome, Err(Errno::Acces | Errno::Hostunreach)),
            "{host}: {outcome:?}"
        );
    }
    assert_eq!(server.connections(), 0);
    // A granted range.
    let root = device(
        Scripted::new(&[&[&at]]),
        "fetch,origin=http://a.example,network=127.0.0.0/8",
    );
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("http://a.example/").unwrap(), b"secret");
    // `localhost` is granted by its name, but leads nowhere else.
    let root = device(
        Scripted::new(&[&["10.0.0.1:80"]]),
        "fetch,origin=http://localhost",
    );
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("http://localhost/"), Err(Errno::Acces));
    let root = device(Scripted::new(&[&[&at]]), "fetch,origin=http://localhost");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("http://localhost/").unwrap(), b"secret");
}

/// A resolver that answers for `*.slow.example` not before it is told to, and for other names at once.
struct Slow {
    address: SocketAddr,
    asked: AtomicUsize,
    answers: tokio::sync::watch::Sender<bool>,
}

impl Resolve for Slow {
    fn resolve(
        &self,
        host: &str,
        _port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let found = vec![self.address];
        let slow = host.ends_with(".slow.example");
        self.asked.fetch_add(usize::from(slow), Ordering::SeqCst);
        let mut answers = self.answers.subscribe();
        Box::pin(async move {
            if slow {
                answers
                    .wait_for(|answer| *answer)
                    .await
                    .map_err(io::Error::other)?;
            }
            Ok(found)
        })
    }
}

#[test]
fn names_that_nobody_answers_for_keep_nobody_else_waiting() {
    let server = Server::start(|call| call.answer("200 OK", "", b"here"));
    let resolver = Arc::new(Slow {
        address: server.address,
        asked: AtomicUsize::new(0),
        answers: tokio::sync::watch::Sender::new(false),
    });
    let options = NetworkOptions {
        resolver: resolver.clone(),
        ..NetworkOptions::default()
    };
    let host = Host {
        network: Network::new(options),
        ..Host::default()
    };
    let device = |terms: &str| host.device(&grant(terms)).unwrap();
    let slow = device("fetch,origin=http://*.slow.example,network=127.0.0.0/8");
    let mut get = Conversation::begin(&slow).unwrap();
    get.tell("timeout 1").unwrap();
    for number in 0..100 {
        let url = format!("http://a{number}.slow.example/");
        assert_eq!(get.get(&url), Err(Errno::Timedout));
    }
    let asked = || resolver.asked.load(Ordering::SeqCst);
    assert!(asked() <= 8, "{} names are looked up at once", asked());
    // Others are not held up by it.
    let other = device("fetch,origin=http://quick.example,network=127.0.0.0/8");
    let mut quick = Conversation::begin(&other).unwrap();
    assert_eq!(quick.get("http://quick.example/").unwrap(), b"here");
    // What ends gives its turn back.
    resolver.answers.send_replace(true);
    get.tell("timeout 20000").unwrap();
    assert_eq!(get.get("http://b.slow.example/").unwrap(), b"here");
}

#[test]
fn answers_that_change() {
    // The first answer is granted and nobody listens there, the second is not granted: what is connected to is what was
    // checked, each time.
    let server = Server::start(|call| call.answer("200 OK", "", b"secret"));
    let at = server.address.to_string();
    let resolver = Scripted::new(&[&["127.0.0.2:1"], &[&at]]);
    let root = device(resolver.clone(), "fetch,origin=*,network=127.0.0.2");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("http://a.example/"), Err(Errno::Connrefused));
    assert_eq!(get.get("http://a.example/"), Err(Errno::Acces));
    assert_eq!(server.connections(), 0);
    // A request asks once, and connects to no other address than those that it was told.
    let resolver = Scripted::new(&[&["10.0.0.1:80", &at], &["10.0.0.1:80"]]);
    let root = device(resolver.clone(), "fetch,origin=*,network=127.0.0.0/8");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("http://a.example/").unwrap(), b"secret");
    assert_eq!(resolver.questions.load(Ordering::SeqCst), 1);
}

#[test]
fn a_redirect_to_a_name_that_leads_here() {
    let inner = Server::start(|call| call.answer("200 OK", "", b"secret"));
    let outer =
        Server::start(|call| call.answer("302 Found", "location: http://b.example/\r\n", b""));
    let resolver = Scripted::new(&[&[&inner.address.to_string()]]);
    let root = device(
        resolver,
        &format!("fetch,origin=*,origin=http://{}", outer.address),
    );
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&outer.url("/")), Err(Errno::Acces));
    assert_eq!((outer.requests(), inner.connections()), (1, 0));
}

/// A body of so many bytes in frames of 16 KiB.
struct Zeroes(usize);

impl Body for Zeroes {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let count = this.0.min(16 << 10);
        this.0 -= count;
        let frame = (count > 0).then(|| Ok(Frame::data(Bytes::from(vec![0; count]))));
        std::task::Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Zeroes>, io::Error> {
    let length = request.uri().path()[1..].parse().unwrap_or(0);
    let mut incoming = request.into_body();
    let mut taken = 0;
    while let Some(frame) =
        std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await
    {
        taken += frame
            .map_err(io::Error::other)?
            .data_ref()
            .map_or(0, Bytes::len);
    }
    let response = Response::builder().header("x-taken", taken);
    response.body(Zeroes(length)).map_err(io::Error::other)
}

/// Serves HTTP with TLS, by the protocols that ALPN agrees on.
fn serve_tls(authority: &Authority, protocols: &[&str]) -> SocketAddr {
    serve_streams(authority, protocols, |stream| async move {
        let builder = auto::Builder::new(TokioExecutor::new());
        let _ = builder
            .serve_connection(TokioIo::new(stream), service_fn(answer))
            .await;
    })
}

/// Hands each connection with TLS to a function, in a runtime of its own.
fn serve_streams<F>(
    authority: &Authority,
    protocols: &[&str],
    serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![authority.certificate.clone()],
            authority.key.clone_key(),
        )
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                // A client that does not trust the certificate goes away here.
                if let Ok(stream) = acceptor.accept(tcp).await {
                    tokio::spawn(serve(stream));
                }
            }
        });
    });
    address
}

/// A device that trusts the authority, in front of a server that is called `name`.
fn trusting(authority: &Authority, address: SocketAddr, terms: &str) -> NodeRef {
    let options = NetworkOptions {
        resolver: Scripted::new(&[&[&address.to_string()]]),
        roots: vec![authority.root.clone()],
    };
    let flag = format!("fetch,origin=https://a.example,network=127.0.0.1,method=*{terms}");
    let network = Network::new(options);
    let host = Host {
        network,
        ..Host::default()
    };
    host.device(&grant(&flag)).unwrap()
}

#[test]
fn tls_and_both_versions_of_http() {
    let authority = Authority::new("a.example");
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let address = serve_tls(&authority, protocols);
        let root = trusting(&authority, address, "");
        let mut get = Conversation::begin(&root).unwrap();
        // More than any window of HTTP/2.
        let body = get.get("https://a.example/20000000");
        assert_eq!(
            body.map(|body| body.len()),
            Ok(20_000_000),
            "{protocols:?}: {}",
            get.text("error")
        );
        assert_eq!(get.text("status"), "200 OK\n");
        get.tell("method POST").unwrap();
        get.write("postbody", &vec![1; 3_000_000]).unwrap();
        assert_eq!(get.get("https://a.example/5").unwrap().len(), 5);
        assert_eq!(get.text("headers/x-taken"), "3000000\n");
    }
}

#[test]
fn a_server_sends_no_more_ahead_than_a_request_is_charged_for() {
    let authority = Authority::new("a.example");
    let (told, tells) = std::sync::mpsc::channel();
    let address = serve_streams(&authority, &["h2"], move |mut stream| {
        let told = told.clone();
        async move {
            // The preface, and the first frame, which has the settings (RFC 9113, sections 3.4 and 6.5).
            let mut head = [0; 24 + 9];
            stream.read_exact(&mut head).await.unwrap();
            let (_, frame) = head.split_at(24);
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
            let mut settings = vec![0; length as usize];
            stream.read_exact(&mut settings).await.unwrap();
            told.send((frame[3], settings)).unwrap();
        }
    });
    let root = trusting(&authority, address, "");
    let mut get = Conversation::begin(&root).unwrap();
    assert!(
        get.get("https://a.example/1").is_err(),
        "the server is gone"
    );
    let (kind, settings) = tells.recv().unwrap();
    assert_eq!((kind, settings.len() % 6), (4, 0));
    let windows: Vec<u32> = settings
        .chunks(6)
        .filter(|setting| setting[..2] == [0, 4])
        .map(|setting| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]))
        .collect();
    assert_eq!(windows, [RECEIVE_WINDOW as u32]);
}

#[test]
fn many_bodies_of_one_connection() {
    let authority = Authority::new("a.example");
    let address = serve_tls(&authority, &["h2"]);
    let root = trusting(&authority, address, ",concurrency=64");
    let mut agents: Vec<_> = (0..32)
        .map(|_| Conversation::begin(&root).unwrap())
        .collect();
    let mut bodies = Vec::new();
    for agent in &mut agents {
        agent.tell("url https://a.example/200000").unwrap();
        bodies.push(agent.open("body", READ).unwrap());
    }
    // In the opposite order: none waits for another one to be read.
    for body in bodies.iter_mut().rev() {
        assert_eq!(all(&mut **body).unwrap().len(), 200_000);
    }
}

#[test]
fn bodies_that_nobody_reads_keep_no_other_request_waiting() {
    const BYTES: usize = 1 << 20;
    let authority = Authority::new("a.example");
    let address = serve_tls(&authority, &["h2"]);
    let root = trusting(&authority, address, ",concurrency=64");
    let begin = || Conversation::begin(&root).unwrap();
    let url = format!("https://a.example/{BYTES}");
    let mut agents: Vec<_> = (0..40).map(|_| begin()).collect();
    let opened = agents.iter_mut().map(|agent| {
        agent.tell(&format!("url {url}")).unwrap();
        agent.open("body", READ).unwrap()
    });
    let mut unread: Vec<_> = opened.collect();
    for _ in 0..3 {
        assert_eq!(begin().get(&url).unwrap().len(), BYTES);
    }
    // Nothing is lost of those that had to wait, nor of those behind bodies that were given up.
    let kept = unread.split_off(20);
    drop(unread);
    for mut body in kept {
        assert_eq!(all(&mut *body).unwrap().len(), BYTES);
    }
    assert_eq!(begin().get(&url).unwrap().len(), BYTES);
}

#[test]
fn certificates_that_are_not_trusted() {
    let authority = Authority::new("b.example");
    let address = serve_tls(&authority, &[]);
    let root = trusting(&authority, address, "");
    let mut get = Conversation::begin(&root).unwrap();
    // It is another server's.
    assert_eq!(get.get("https://a.example/1"), Err(Errno::Proto));
    assert!(
        get.text("error").contains("no TLS with `a.example`"),
        "{}",
        get.text("error")
    );
    // Nobody vouches for it.
    let root = trusting(&Authority::new("a.example"), address, "");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("https://a.example/1"), Err(Errno::Proto));
    // There is no TLS at all.
    let server = Server::start(|call| call.answer("200 OK", "", b""));
    let root = trusting(&authority, server.address, "");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get("https://a.example/1"), Err(Errno::Proto));
}
