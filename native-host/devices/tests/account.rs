//! What the devices of the network make this machine hold is charged to the account of their agent.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::future::{pending, poll_fn};
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_compression::brotli::EncoderParams;
use async_compression::tokio::write::BrotliEncoder;
use capfs::account::{Account, Holding};
use capfs::testkit::{self, READ, READ_WRITE, now, read_at};
use capfs::{BoxedFuture, Errno, NodeRef};
use capfs_devices::address::Addresses;
use capfs_devices::fetch::host::{
    Abilities, Client, Failure, Host as FetchHost, Outside, Request, RequestBody, Response, Upload,
};
use capfs_devices::fetch::{Fetch, UPLOAD_WINDOW};
use capfs_devices::url::Url;
use capfs_devices::ws::{RECEIVE_WINDOW, SEND_WINDOW};
use capfs_native_devices::Host;
use capfs_native_devices::net::Net;
use support::{Conversation, Server, WRITE, grant, write_all};
use tokio::io::AsyncWriteExt;

/// A device of an agent that may hold so many bytes.
fn device(flag: &str, max: u64) -> (NodeRef, Account) {
    let account = Account::new(max);
    let host = Host {
        account: account.clone(),
        ..Host::default()
    };
    (host.device(&grant(flag)).unwrap(), account)
}

/// Compresses with a window of so many bits. Nothing in it waits.
fn brotli(bytes: &[u8], bits: i32) -> Vec<u8> {
    let params = EncoderParams::default().window_size(bits);
    let mut encoder = BrotliEncoder::with_params(Vec::new(), params);
    let mut packing = pin!(async {
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(packing.as_mut().poll(&mut context).is_ready());
    encoder.into_inner()
}

#[test]
fn the_window_of_a_body_in_brotli_is_charged() {
    let text = "many words, many words. ".repeat(10_000);
    let body = text.clone();
    let server = Server::start(move |call| {
        let packed = match call.path() {
            "/large" => brotli(body.as_bytes(), 24),
            "/small" => brotli(body.as_bytes(), 16),
            // The beginning of a stream with a window of 1 GiB, as brotli has it where HTTP has none.
            _ => vec![0x11, 30, 0, 0, 0, 0],
        };
        call.answer("200 OK", "content-encoding: br\r\n", &packed);
    });
    let flag = format!("fetch,origin={}", server.url(""));
    let flag = flag.trim_end_matches('/');
    let (root, account) = device(flag, 64 << 20);
    let mut get = Conversation::begin(&root).unwrap();
    let held = |get: &mut Conversation, path: &str| {
        get.tell(&format!("url {}", server.url(path))).unwrap();
        let mut body = get.open("body", READ).unwrap();
        let before = account.used();
        assert_eq!(read_at(&mut *body, 0, 4).unwrap(), b"many", "{path}");
        account.used() - before
    };
    let large = held(&mut get, "/large");
    assert!(large >= 16 << 20, "{large}");
    let small = held(&mut get, "/small");
    assert!((64 << 10..8 << 20).contains(&small), "{small}");
    assert!(get.get(&server.url("/small")).unwrap() == text.as_bytes());
    assert_eq!(get.get(&server.url("/huge")), Err(Errno::Proto));
    let error = get.text("error");
    assert!(error.contains("large window"), "{error}");
    assert!(account.usage().peak < 64 << 20);

    let (root, account) = device(flag, 16 << 20);
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&server.url("/large")), Err(Errno::Nomem));
    assert!(get.text("error").contains("brotli"));
    assert_eq!(get.get(&server.url("/small")).unwrap().len(), text.len());
    drop((get, root));
    assert_eq!(account.used(), 0, "nothing is left");
}

/// This machine, but that nothing is sent: what a body is taken by is kept.
struct Deaf {
    net: Arc<Net>,
    upload: Arc<Mutex<Option<Arc<dyn Upload>>>>,
}

impl Outside for Deaf {
    fn parse(&self, text: &str, base: Option<&Url>) -> Option<Url> {
        self.net.parse(text, base)
    }

    fn spawn(&self, future: BoxedFuture<()>) {
        self.net.spawn(future);
    }

    fn sleep(&self, millis: u64) -> BoxedFuture<()> {
        self.net.sleep(millis)
    }

    fn now(&self) -> u64 {
        self.net.now()
    }
}

impl FetchHost for Deaf {
    fn client(&self, _addresses: Arc<dyn Addresses>) -> Arc<dyn Client> {
        Arc::new(Kept(self.upload.clone()))
    }

    fn abilities(&self) -> Abilities {
        FetchHost::abilities(&*self.net)
    }
}

struct Kept(Arc<Mutex<Option<Arc<dyn Upload>>>>);

impl Client for Kept {
    fn send(&self, request: Request) -> BoxedFuture<Result<Response, Failure>> {
        if let RequestBody::Stream(upload) = request.body {
            *self.0.lock().unwrap() = Some(upload);
        }
        Box::pin(pending())
    }
}

#[test]
fn what_of_a_streamed_body_is_on_its_way_is_charged_until_it_is_sent() {
    let upload: Arc<Mutex<Option<Arc<dyn Upload>>>> = Arc::default();
    let host = Arc::new(Deaf {
        net: Host::default().net().unwrap(),
        upload: upload.clone(),
    });
    let account = Account::new(64 << 20);
    let terms = grant("fetch,origin=*,method=*");
    let root = Fetch::new(host, &terms, &account).unwrap().root();
    let mut post = Conversation::begin(&root).unwrap();
    post.tell("url https://a.example/").unwrap();
    let mut body = post.open("postbody", WRITE).unwrap();
    post.tell("send").unwrap();
    let upload = loop {
        // The request is begun by another thread.
        match upload.lock().unwrap().take() {
            Some(upload) => break upload,
            None => std::thread::yield_now(),
        }
    };
    let before = account.used();
    let mut on_their_way = Vec::new();
    for _ in 0..8 {
        write_all(&mut *body, &vec![7; UPLOAD_WINDOW]).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        match upload.poll_chunk(&mut context) {
            Poll::Ready(Some(Ok(chunk))) => on_their_way.push(chunk),
            _ => panic!("there is a window of it"),
        }
    }
    let held = account.used() - before;
    assert!(held >= 8 * UPLOAD_WINDOW as u64, "{held}");
    assert!(on_their_way.iter().all(|chunk| chunk.as_ref()[0] == 7));
    drop(on_their_way);
    assert_eq!(account.used(), before);
}

#[test]
fn a_connection_is_charged_for_all_that_it_may_have_under_way() {
    // Whoever connects is taken by the system, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let message = 1 << 20;
    let flag = format!("ws,origin=ws://{address},max-message=1MiB");
    let (root, account) = device(&flag, 64 << 20);
    let agent = Conversation::begin(&root).unwrap();
    let before = account.used();
    let mut ctl = agent.open("ctl", READ_WRITE).unwrap();
    let line = format!("connect ws://{address}/\n");
    let connecting = poll_fn(|context| {
        let at = capfs::WriteAt::End;
        ctl.poll_write(context, at, &mut line.as_bytes())
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(connecting).poll(&mut context).is_pending());
    // Each way one window here and one with what hands it on, where a message may be more than its window; of what is received, the
    // message that is being read and the one that comes.
    let most = (2 * SEND_WINDOW + RECEIVE_WINDOW + 4 * message) as u64;
    let held = account.used() - before;
    assert!(held >= most, "{held} of {most}");
}

#[test]
fn what_a_child_holds_is_charged_to_it_and_to_its_parent() {
    let parent = Account::new(64 << 20);
    let host = Host {
        account: parent.clone(),
        ..Host::default()
    };
    for (device, clone) in [
        ("fetch,origin=*", "clone"),
        ("ws,origin=*", "clone"),
        ("crypto", "key/clone"),
    ] {
        let capability = host.capability(&grant(device)).unwrap();
        let child = parent.child(16 << 20);
        let less = capability.narrowed(&grant(device), &child).unwrap();
        let begin = || {
            let node = testkit::walk(less.root(), clone).unwrap();
            let mut file = now(node.open(READ_WRITE))?;
            read_at(&mut *file, 0, 20)?;
            Ok(file)
        };
        let before = parent.used();
        let conversation = begin().unwrap();
        assert!(child.used() > 0, "{device}");
        assert_eq!(parent.used() - before, child.used(), "{device}");
        let all = child.charge(Holding::Files, child.left()).unwrap();
        assert_eq!(begin().err(), Some(Errno::Nomem), "{device}");
        assert!(parent.left() > 32 << 20, "the parent has room");
        drop((conversation, all));
        assert_eq!((child.used(), parent.used()), (0, before), "{device}");
    }
}
