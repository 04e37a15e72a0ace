//! Bodies that requests send, against servers on loopback that don't take them to the end: what goes out is what was written, or nothing.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::HashSet;
use std::io::Read;
use std::net::Shutdown;
use std::sync::{Mutex, mpsc};
use std::thread;

use capfs::testkit::{READ, wait, write_at};
use capfs::{Errno, Interest, OpenFile, WriteAt};
use support::{Call, Conversation, Server, WRITE, all, write_all};

const TERMS: &str = ",method=*";

/// Method and body of a request that was taken.
type Taken = (String, Vec<u8>);

fn break_off(call: &mut Call) {
    call.connection.get_mut().shutdown(Shutdown::Both).unwrap();
}

/// A server that fails the first request of each path, and tells of those that it takes. `/breaks…`: in the midst of the body; `/half…`: in
/// the midst of the answer.
fn failing() -> (Server, mpsc::Receiver<Taken>) {
    let (took, taken) = mpsc::channel();
    let failed: Mutex<HashSet<String>> = Mutex::default();
    let server = Server::start(move |call| {
        let first = failed.lock().unwrap().insert(call.path().to_owned());
        if first && call.path().starts_with("/breaks") {
            let length = call.header("content-length");
            let length = length.map_or(20_000, |length| length.parse().unwrap());
            let mut part = vec![0; length.min(20_000)];
            call.connection.read_exact(&mut part).unwrap();
            return break_off(call);
        }
        let body = call.body();
        took.send((call.method().to_owned(), body)).unwrap();
        if first && call.path().starts_with("/half") {
            call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
            return break_off(call);
        }
        call.answer("200 OK", "", b"ok");
    });
    (server, taken)
}

fn put(server: &Server, path: &str) -> Conversation {
    let mut put = Conversation::begin(&server.device(TERMS)).unwrap();
    put.tell(&format!("url {}\nmethod PUT", server.url(path)))
        .unwrap();
    put
}

/// Writes lines until that fails.
fn write_on(upload: &mut dyn OpenFile) -> Errno {
    let line = [b'x'; 1_000];
    loop {
        if let Err(errno) = write_at(upload, WriteAt::End, &line) {
            return errno;
        }
    }
}

fn hung_up(upload: &mut dyn OpenFile) -> bool {
    let ready = wait(|context| upload.poll_ready(context, Interest::Write));
    ready.unwrap().hangup
}

#[test]
fn a_body_whose_request_failed_is_sent_again() {
    let (server, taken) = failing();
    let lines: String = (0..5_000).map(|line| format!("{line:05}\n")).collect();
    let is = |body: &[u8]| assert_eq!(taken.recv().unwrap(), ("PUT".to_owned(), body.to_vec()));
    for (path, errno) in [
        ("/breaks", Some(Errno::Connreset)),
        ("/half", Some(Errno::Connreset)),
        ("/other", None),
    ] {
        let put = put(&server, path);
        put.write("postbody", lines.as_bytes()).unwrap();
        if let Some(errno) = errno {
            assert_eq!(put.body(), Err(errno), "{path}");
            if path == "/half" {
                is(lines.as_bytes());
            }
        }
        assert_eq!(put.body().unwrap(), b"ok", "{path}");
        is(lines.as_bytes());
        // It was answered: the next request has what is written for it.
        assert_eq!(put.body().unwrap(), b"ok", "{path}");
        is(b"");
        put.write("postbody", b"more").unwrap();
        assert_eq!(put.body().unwrap(), b"ok", "{path}");
        is(b"more");
    }

    // With `send` as well.
    let mut sent = put(&server, "/breaks-sent");
    sent.write("postbody", b"sent").unwrap();
    sent.tell("send").unwrap();
    assert_eq!(sent.body(), Err(Errno::Connreset));
    sent.tell("send").unwrap();
    assert_eq!(sent.body().unwrap(), b"ok");
    is(b"sent");

    // What is written instead of it isn't added to it.
    let other = put(&server, "/breaks-other");
    other.write("postbody", b"one").unwrap();
    assert_eq!(other.body(), Err(Errno::Connreset));
    other.write("postbody", b"two ").unwrap();
    other.write("postbody", b"parts").unwrap();
    assert_eq!(other.body().unwrap(), b"ok");
    is(b"two parts");

    // `abort` gives it up.
    let mut aborted = put(&server, "/breaks-aborted");
    aborted.write("postbody", b"nobody's").unwrap();
    assert_eq!(aborted.body(), Err(Errno::Connreset));
    aborted.tell("abort").unwrap();
    assert_eq!(aborted.body().unwrap(), b"ok");
    is(b"");
}

#[test]
fn what_is_left_of_a_streamed_body_is_no_request() {
    let (server, taken) = failing();
    let mut put = put(&server, "/breaks");
    let mut upload = put.open("postbody", WRITE).unwrap();
    put.tell("send").unwrap();
    assert_eq!(write_on(&mut *upload), Errno::Pipe);
    assert!(hung_up(&mut *upload));
    assert_eq!(put.body(), Err(Errno::Connreset));
    // Whoever hears of it late writes no other request's body.
    assert_eq!(write_on(&mut *upload), Errno::Pipe);
    for _ in 0..2 {
        assert_eq!(put.body(), Err(Errno::Io));
        assert!(put.text("error").contains("not kept"));
        assert_eq!(put.tell("send"), Err(Errno::Io));
    }
    assert_eq!(server.requests(), 1);
    // The descriptor that is still open is nobody's.
    put.write("postbody", b"all of it").unwrap();
    assert_eq!(put.body().unwrap(), b"ok");
    assert_eq!(
        taken.recv().unwrap(),
        ("PUT".to_owned(), b"all of it".to_vec())
    );
    assert_eq!(write_on(&mut *upload), Errno::Pipe);
    drop(upload);

    // One that was given up.
    let mut upload = put.open("postbody", WRITE).unwrap();
    put.tell("send").unwrap();
    write_all(&mut *upload, b"a part").unwrap();
    put.tell("abort").unwrap();
    assert_eq!(write_on(&mut *upload), Errno::Pipe);
    assert!(put.text("error").contains("is over"));
    assert_eq!(put.body().unwrap(), b"ok");
    assert_eq!(taken.recv().unwrap(), ("PUT".to_owned(), Vec::new()));
    // And one that was sent whole.
    let mut upload = put.open("postbody", WRITE).unwrap();
    write_all(&mut *upload, b"whole").unwrap();
    assert_eq!(put.body().unwrap(), b"ok");
    assert_eq!(taken.recv().unwrap(), ("PUT".to_owned(), b"whole".to_vec()));
    assert_eq!(write_on(&mut *upload), Errno::Pipe);
}

#[test]
fn an_answer_before_the_end_of_a_streamed_body() {
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let server = Server::start(move |call| {
        call.answer("413 Too Much", "connection: close\r\n", b"who");
        goes_on.lock().unwrap().recv().unwrap();
        break_off(call);
    });
    let mut put = put(&server, "/");
    let mut upload = put.open("postbody", WRITE).unwrap();
    put.tell("send").unwrap();
    let writing = thread::spawn(move || {
        let errno = write_on(&mut *upload);
        (upload, errno)
    });
    let mut body = put.open("body", READ).unwrap();
    go_on.send(()).unwrap();
    let (mut upload, errno) = writing.join().unwrap();
    assert_eq!(errno, Errno::Pipe);
    assert!(hung_up(&mut *upload));
    assert_eq!(all(&mut *body).unwrap(), b"who");
    assert!(put.text("status").starts_with("413 "));
}

#[test]
fn a_server_that_takes_nothing_more_of_a_body() {
    let (_go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let server = Server::start(move |call| {
        call.answer("200 OK", "", b"wait");
        let _ = goes_on.lock().unwrap().recv();
    });
    let mut put = put(&server, "/");
    put.tell("timeout 300").unwrap();
    let mut upload = put.open("postbody", WRITE).unwrap();
    put.tell("send").unwrap();
    // Longer than the system keeps for a connection.
    assert_eq!(write_on(&mut *upload), Errno::Timedout);
    assert!(put.text("error").contains("took nothing"));
    assert_eq!(put.body().unwrap(), b"wait");
}
