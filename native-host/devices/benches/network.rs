//! What `/cap/fetch` and `/cap/ws` cost beside what they are made of: hyper's client and tungstenite on the same machine,
//! against the same servers, which run in this process.
//!
//!     cargo bench -p capfs-native-devices --bench network
#![allow(missing_docs, reason = "a benchmark")]

use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use capfs::testkit::{READ, READ_WRITE, now, read_at, walk, write_at};
use capfs::{NodeRef, OpenFile, WriteAt};
use capfs_devices::grant::Grant;
use capfs_native_devices::Host;
use futures_util::{Sink, Stream};
use hyper::body::{Body, Frame};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio_tungstenite::tungstenite::{Message, accept};

/// Rounds of each measurement, of which the best counts: the machine has other things to do.
const ROUNDS: usize = 5;
const LARGE: usize = 100 << 20;
const SMALL: usize = 1_000;
const MESSAGES: usize = 5_000;

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
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

fn best(mut round: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| round()).min().unwrap()
}

fn report(what: &str, bare: Duration, tree: Duration, unit: &str, amount: f64) {
    let rate = |time: Duration| amount / time.as_secs_f64();
    println!(
        "{what:<28} bare {:>10.0} {unit}  tree {:>10.0} {unit}  {:>+6.1} % time",
        rate(bare),
        rate(tree),
        (tree.as_secs_f64() / bare.as_secs_f64() - 1.0) * 100.0
    );
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

struct Agent {
    root: NodeRef,
    ctl: Box<dyn OpenFile>,
    number: String,
}

impl Agent {
    fn begin(root: &NodeRef) -> Agent {
        let mut ctl = now(walk(root, "clone").unwrap().open(READ_WRITE)).unwrap();
        let number = String::from_utf8(read_at(&mut *ctl, 0, 20).unwrap()).unwrap();
        Agent {
            root: root.clone(),
            ctl,
            number: number.trim().to_owned(),
        }
    }

    fn tell(&mut self, command: &str) {
        write_at(
            &mut *self.ctl,
            WriteAt::End,
            format!("{command}\n").as_bytes(),
        )
        .unwrap();
    }

    fn open(&self, file: &str, how: capfs::OpenHow) -> Box<dyn OpenFile> {
        now(walk(&self.root, &format!("{}/{file}", self.number))
            .unwrap()
            .open(how))
        .unwrap()
    }

    fn get(&mut self, into: &mut [u8]) -> usize {
        let mut body = self.open("body", READ);
        let mut total = 0;
        loop {
            let count =
                capfs::testkit::wait(|context| body.poll_read(context, 0, &mut &mut into[..]))
                    .unwrap();
            if count == 0 {
                return total;
            }
            total += count;
        }
    }
}

fn fetch(runtime: &tokio::runtime::Runtime) {
    let address = http_server();
    let root = Host::default()
        .device(&Grant::from_flag(&format!("fetch,origin=http://{address}")).unwrap());
    let mut agent = Agent::begin(&root.unwrap());
    let client: Client<HttpConnector, Nothing> = Client::builder(TokioExecutor::new()).build_http();
    let mut buffer = vec![0; 1 << 20];

    let large = format!("http://{address}/{LARGE}");
    let bare = best(|| {
        let began = Instant::now();
        assert_eq!(
            runtime.block_on(bare_get(&client, &large, &mut buffer)),
            LARGE
        );
        began.elapsed()
    });
    agent.tell(&format!("url {large}"));
    let tree = best(|| {
        let began = Instant::now();
        assert_eq!(agent.get(&mut buffer), LARGE);
        began.elapsed()
    });
    report("fetch, 100 MiB", bare, tree, "MiB/s", 100.0);

    let small = format!("http://{address}/100");
    let bare = best(|| {
        let began = Instant::now();
        for _ in 0..SMALL {
            assert_eq!(
                runtime.block_on(bare_get(&client, &small, &mut buffer)),
                100
            );
        }
        began.elapsed()
    });
    agent.tell(&format!("url {small}"));
    let tree = best(|| {
        let began = Instant::now();
        for _ in 0..SMALL {
            assert_eq!(agent.get(&mut buffer), 100);
        }
        began.elapsed()
    });
    report("fetch, 1,000 of 100 bytes", bare, tree, "1/s", SMALL as f64);
}

fn ws(runtime: &tokio::runtime::Runtime) {
    let address = ws_server();
    let root =
        Host::default().device(&Grant::from_flag(&format!("ws,origin=ws://{address}")).unwrap());
    let mut agent = Agent::begin(&root.unwrap());
    agent.tell(&format!("binary\nconnect ws://{address}/"));
    let mut data = agent.open("data", READ_WRITE);
    let url = format!("ws://{address}/");
    let mut socket = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tokio_tungstenite::client_async(&url, tcp).await.unwrap().0
    });
    for (what, size) in [
        ("ws, echo of 32 bytes", 32),
        ("ws, echo of 64 KiB", 64 << 10),
    ] {
        let message = vec![7; size];
        let mut buffer = vec![0; size];
        let bare = best(|| {
            let began = Instant::now();
            runtime.block_on(async {
                for _ in 0..MESSAGES {
                    poll_fn(|context| Pin::new(&mut socket).poll_ready(context))
                        .await
                        .unwrap();
                    Pin::new(&mut socket)
                        .start_send(Message::binary(message.clone()))
                        .unwrap();
                    poll_fn(|context| Pin::new(&mut socket).poll_flush(context))
                        .await
                        .unwrap();
                    let answer = poll_fn(|context| Pin::new(&mut socket).poll_next(context)).await;
                    assert_eq!(answer.unwrap().unwrap().len(), size);
                }
            });
            began.elapsed()
        });
        let tree = best(|| {
            let began = Instant::now();
            for _ in 0..MESSAGES {
                write_at(&mut *data, WriteAt::End, &message).unwrap();
                let count = capfs::testkit::wait(|context| {
                    data.poll_read(context, 0, &mut &mut buffer[..])
                });
                assert_eq!(count.unwrap(), size);
            }
            began.elapsed()
        });
        report(what, bare, tree, "1/s", MESSAGES as f64);
        // Many on their way at once.
        let bare = best(|| {
            let began = Instant::now();
            runtime.block_on(async {
                for _ in 0..MESSAGES / 50 {
                    for _ in 0..50 {
                        poll_fn(|context| Pin::new(&mut socket).poll_ready(context))
                            .await
                            .unwrap();
                        Pin::new(&mut socket)
                            .start_send(Message::binary(message.clone()))
                            .unwrap();
                    }
                    poll_fn(|context| Pin::new(&mut socket).poll_flush(context))
                        .await
                        .unwrap();
                    for _ in 0..50 {
                        let answer =
                            poll_fn(|context| Pin::new(&mut socket).poll_next(context)).await;
                        assert_eq!(answer.unwrap().unwrap().len(), size);
                    }
                }
            });
            began.elapsed()
        });
        let tree = best(|| {
            let began = Instant::now();
            for _ in 0..MESSAGES / 50 {
                for _ in 0..50 {
                    write_at(&mut *data, WriteAt::End, &message).unwrap();
                }
                for _ in 0..50 {
                    let count = capfs::testkit::wait(|context| {
                        data.poll_read(context, 0, &mut &mut buffer[..])
                    });
                    assert_eq!(count.unwrap(), size);
                }
            }
            began.elapsed()
        });
        report(
            &format!("{what}, 50 at once"),
            bare,
            tree,
            "1/s",
            MESSAGES as f64,
        );
    }
}

fn main() {
    // As the devices have it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    fetch(&runtime);
    ws(&runtime);
}
