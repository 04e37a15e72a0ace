//! What `/cap/fetch` and `/cap/ws` cost beside what they are made of: hyper's client and tungstenite on the same machine,
//! against the same servers, which run in this process. The agent's thread does the network's work while it waits, as `capfs-host run` has it.
//!
//!     cargo bench -p capfs-native-devices --bench network -- [ROUNDS [PART]]
//!
//! Prints a line of JSON for each measurement, with the milliseconds of each round but the first. PART is how much of the
//! work is done, 1 unless told.
#![allow(missing_docs, reason = "a benchmark")]

use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use capfs::testkit::{READ, READ_WRITE, walk};
use capfs::{NodeRef, Op, OpenFile, WriteAt};
use capfs_devices::grant::Grant;
use capfs_native_devices::Host;
use capfs_native_devices::net::{Driver, Network, NetworkOptions, Nudge};
use futures_util::{Sink, Stream};
use hyper::body::{Body, Frame};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio_tungstenite::tungstenite::{Message, accept};

/// Bytes of the large body, and how many small ones and messages there are.
const LARGE: usize = 100 << 20;
const SMALL: usize = 1_000;
const MESSAGES: usize = 5_000;

/// Messages that are sent before the first is read back, where they are not sent one by one. Both sides' buffers hold them.
const UNDER_WAY: usize = 4;

/// Answers `/N` with N bytes.
fn http_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            thread::spawn(move || {
                tcp.set_nodelay(true).unwrap();
                let part = vec![b'x'; 256 << 10];
                let mut connection = BufReader::new(tcp);
                let mut line = String::new();
                let mut length = 0;
                while connection.read_line(&mut line).is_ok_and(|count| count > 0) {
                    if let Some(path) = line.strip_prefix("GET /") {
                        length = path.split(' ').next().unwrap().parse().unwrap();
                    }
                    if line == "\r\n" {
                        let mut answer =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
                                .into_bytes();
                        let first = length.min(part.len());
                        answer.extend_from_slice(&part[..first]);
                        let mut left = length - first;
                        let tcp = connection.get_mut();
                        let mut sent = tcp.write_all(&answer);
                        while left > 0 && sent.is_ok() {
                            let count = left.min(part.len());
                            sent = tcp.write_all(&part[..count]);
                            left -= count;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

/// Sends back what comes.
fn ws_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            thread::spawn(move || {
                tcp.set_nodelay(true).unwrap();
                let mut socket = accept(tcp).unwrap();
                while let Ok(message) = socket.read() {
                    if message.is_binary() {
                        socket.send(message).unwrap();
                    }
                }
            });
        }
    });
    address
}

struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// How often everything is measured, and how much of it.
#[derive(Clone, Copy)]
struct Size {
    rounds: usize,
    part: f64,
}

impl Size {
    fn of(self, whole: usize) -> usize {
        ((whole as f64 * self.part) as usize).max(1)
    }

    /// Measures both in turn.
    fn report(
        self,
        name: &str,
        work: &str,
        rival: &str,
        mut bare: impl FnMut(),
        mut tree: impl FnMut(),
    ) {
        let (mut bares, mut trees) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            bares.push(milliseconds(&mut bare));
            trees.push(milliseconds(&mut tree));
        }
        // The first is the one in which connections are made and buffers grow.
        let shown = |times: &[f64]| {
            times[usize::from(times.len() > 1)..]
                .iter()
                .map(|time| time / self.part)
                .collect()
        };
        let (bare, tree): (Vec<f64>, Vec<f64>) = (shown(&bares), shown(&trees));
        println!(
            r#"{{"name":"{name}","work":"{work}","rival":"{rival}","bare":{bare:?},"tree":{tree:?}}}"#
        );
    }
}

fn milliseconds(work: &mut impl FnMut()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e3
}

async fn bare_get(client: &Client<HttpConnector, Nothing>, url: &str, into: &mut [u8]) -> usize {
    let request = hyper::Request::get(url).body(Nothing).unwrap();
    let mut body = client.request(request).await.unwrap().into_body();
    let mut total = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // As a program would take it: into its own buffer.
        let data = frame.unwrap().into_data().unwrap();
        let count = data.len().min(into.len());
        into[..count].copy_from_slice(&data[..count]);
        total += data.len();
    }
    total
}

/// An agent's thread, which drives the network while it waits.
struct Agent {
    root: NodeRef,
    driver: Driver,
    nudge: Arc<Nudge>,
    waker: Waker,
}

impl Agent {
    /// It has the device of a grant.
    fn new(grant: &str) -> Agent {
        let network = Network::driven(NetworkOptions::default());
        let host = Host {
            network: network.clone(),
            ..Host::default()
        };
        let root = host.device(&Grant::from_flag(grant).unwrap()).unwrap();
        let nudge: Arc<Nudge> = Arc::default();
        Agent {
            root,
            driver: network.driver().unwrap().unwrap(),
            waker: Waker::from(nudge.clone()),
            nudge,
        }
    }

    fn wait<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(value) = poll(&mut context) {
                return value;
            }
            self.driver.wait(&self.nudge, None);
        }
    }

    fn open(&self, file: &str, how: capfs::OpenHow) -> Box<dyn OpenFile> {
        match walk(&self.root, file).unwrap().open(how) {
            Op::Ready(opened) => opened,
            Op::Later(mut opening) => self.wait(|context| opening.as_mut().poll(context)),
        }
        .unwrap()
    }

    fn read(&self, file: &mut dyn OpenFile, into: &mut [u8]) -> usize {
        self.wait(|context| file.poll_read(context, 0, &mut &mut *into))
            .unwrap()
    }

    fn write(&self, file: &mut dyn OpenFile, bytes: &[u8]) {
        let written = self.wait(|context| file.poll_write(context, WriteAt::End, &mut { bytes }));
        assert_eq!(written.unwrap().bytes, bytes.len());
    }

    /// Begins a conversation, and tells it something.
    fn begin(&self, commands: &str) -> Conversation {
        let mut ctl = self.open("clone", READ_WRITE);
        let mut number = [0; 20];
        let count = self.read(&mut *ctl, &mut number);
        let number = std::str::from_utf8(&number[..count]).unwrap().trim();
        self.write(&mut *ctl, format!("{commands}\n").as_bytes());
        Conversation {
            directory: number.to_owned(),
            _ctl: ctl,
        }
    }

    /// All of the body.
    fn get(&self, of: &Conversation, into: &mut [u8]) -> usize {
        let mut body = self.open(&format!("{}/body", of.directory), READ);
        let mut total = 0;
        loop {
            match self.read(&mut *body, into) {
                0 => return total,
                count => total += count,
            }
        }
    }
}

/// It lasts as long as its file of commands is open.
struct Conversation {
    directory: String,
    _ctl: Box<dyn OpenFile>,
}

fn fetch(runtime: &tokio::runtime::Runtime, size: Size) {
    let address = http_server();
    let agent = Agent::new(&format!("fetch,origin=http://{address}"));
    let client: Client<HttpConnector, Nothing> = Client::builder(TokioExecutor::new()).build_http();
    for (name, work, bodies, length) in [
        ("fetch-large", "fetch: a body of 100 MiB", 1, size.of(LARGE)),
        (
            "fetch-small",
            "fetch: 1,000 bodies of 100 bytes",
            size.of(SMALL),
            100,
        ),
    ] {
        let url = format!("http://{address}/{length}");
        let (mut own, mut others) = (vec![0; 256 << 10], vec![0; 256 << 10]);
        let conversation = agent.begin(&format!("url {url}"));
        size.report(
            name,
            work,
            "hyper",
            || {
                for _ in 0..bodies {
                    let got = runtime.block_on(bare_get(&client, &url, &mut others));
                    assert_eq!(got, length);
                }
            },
            || {
                for _ in 0..bodies {
                    assert_eq!(agent.get(&conversation, &mut own), length);
                }
            },
        );
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn send(socket: &mut Socket, message: &[u8]) {
    let mut socket = Pin::new(socket);
    poll_fn(|context| socket.as_mut().poll_ready(context))
        .await
        .unwrap();
    socket
        .as_mut()
        .start_send(Message::binary(message.to_vec()))
        .unwrap();
}

async fn receive(socket: &mut Socket, length: usize) {
    let answer = poll_fn(|context| Pin::new(&mut *socket).poll_next(context)).await;
    assert_eq!(answer.unwrap().unwrap().len(), length);
}

fn ws(runtime: &tokio::runtime::Runtime, size: Size) {
    let address = ws_server();
    let agent = Agent::new(&format!("ws,origin=ws://{address}"));
    let conversation = agent.begin(&format!("binary\nconnect ws://{address}/"));
    let mut data = agent.open(&format!("{}/data", conversation.directory), READ_WRITE);
    let url = format!("ws://{address}/");
    let mut socket = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tokio_tungstenite::client_async(&url, tcp).await.unwrap().0
    });
    let turns = size.of(MESSAGES).div_ceil(UNDER_WAY);
    for (name, work, length, under_way) in [
        (
            "echo",
            "ws: 5,000 messages of 100 bytes and back, one by one",
            100,
            1,
        ),
        (
            "echo-many",
            "ws: 5,000 messages of 100 bytes and back, 4 at once",
            100,
            UNDER_WAY,
        ),
        (
            "echo-large",
            "ws: 5,000 messages of 64 KiB and back, 4 at once",
            64 << 10,
            UNDER_WAY,
        ),
    ] {
        let message = vec![7; length];
        let mut buffer = vec![0; length];
        let turns = turns * UNDER_WAY / under_way;
        size.report(
            name,
            work,
            "tungstenite",
            || {
                runtime.block_on(async {
                    for _ in 0..turns {
                        for _ in 0..under_way {
                            send(&mut socket, &message).await;
                        }
                        poll_fn(|context| Pin::new(&mut socket).poll_flush(context))
                            .await
                            .unwrap();
                        for _ in 0..under_way {
                            receive(&mut socket, length).await;
                        }
                    }
                });
            },
            || {
                for _ in 0..turns {
                    for _ in 0..under_way {
                        agent.write(&mut *data, &message);
                    }
                    for _ in 0..under_way {
                        assert_eq!(agent.read(&mut *data, &mut buffer), length);
                    }
                }
            },
        );
    }
}

fn main() {
    // Cargo adds an argument of its own.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let mut number = |unless: f64| {
        args.next()
            .map_or(unless, |text| text.parse().expect("a number"))
    };
    let size = Size {
        rounds: number(5.0) as usize,
        part: number(1.0),
    };
    // As the devices have it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    fetch(&runtime, size);
    ws(&runtime, size);
}
