//! `/cap/fetch` against servers on loopback: answers that stall, break off, are none or are packed.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::time::Instant;

use capfs::Errno;
use capfs::testkit::{READ, read_at};
use support::{Conversation, Server, device};

#[test]
fn bodies_over_their_limit() {
    let server = Server::start(|call| {
        let length = call.path()[1..].parse().unwrap();
        call.answer("200 OK", "", &vec![b'x'; length]);
    });
    let root = server.device(",max-body=100000");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&server.url("/100000")).unwrap().len(), 100_000);
    assert_eq!(get.get(&server.url("/100001")), Err(Errno::Msgsize));
    assert_eq!(get.text("error"), "the body has more than 100000 bytes\n");
    get.tell(&format!("url {}", server.url("/100001"))).unwrap();
    let mut body = get.open("body", READ).unwrap();
    let mut seen = 0;
    while let Ok(part) = read_at(&mut *body, 0, 7_777) {
        seen += part.len();
    }
    assert_eq!(seen, 100_000);
    assert_eq!(read_at(&mut *body, 0, 1), Err(Errno::Msgsize));
}

#[test]
fn answers_whose_status_has_no_content() {
    let server = Server::start(|call| {
        let status = call.path()[1..].to_owned();
        call.answer(&status, "content-type: text/plain\r\n", b"more");
    });
    let mut get = Conversation::begin(&server.device("")).unwrap();
    for (status, body) in [("204", ""), ("205", ""), ("304", ""), ("206", "more")] {
        let outcome = get.get(&server.url(&format!("/{status}")));
        assert_eq!(outcome.unwrap(), body.as_bytes(), "{status}");
        assert!(get.text("status").starts_with(status));
        assert_eq!(get.text("headers/content-type"), "text/plain\n");
    }
}

#[test]
fn servers_that_stall() {
    let server = Server::start(|call| {
        match call.path() {
            "/head" => call.send(b"HTTP/1.1 200 OK\r\ncontent-"),
            "/body" => call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
            _ => {}
        }
        call.wait_for_close();
    });
    let root = server.device(",timeout=200ms");
    let mut get = Conversation::begin(&root).unwrap();
    for path in ["/nothing", "/head", "/body"] {
        let began = Instant::now();
        assert_eq!(get.get(&server.url(path)), Err(Errno::Timedout), "{path}");
        assert!(began.elapsed().as_millis() >= 200, "{path}");
        assert!(!get.text("error").is_empty());
    }
    get.tell("timeout 60000").unwrap();
    assert_eq!(get.get(&server.url("/body")), Err(Errno::Timedout));
}

#[test]
fn servers_that_break_off() {
    let server = Server::start(|call| {
        match call.path() {
            "/head" => call.send(b"HTTP/1.1 200 OK\r\nx:"),
            "/length" => call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
            "/chunk" => {
                call.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf")
            }
            "/nonsense" => call.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            _ => {}
        }
        let _ = call.connection.get_ref().shutdown(std::net::Shutdown::Both);
    });
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    for (path, errno) in [
        ("/nothing", Errno::Connreset),
        ("/head", Errno::Connreset),
        ("/length", Errno::Connreset),
        ("/chunk", Errno::Connreset),
        ("/nonsense", Errno::Proto),
    ] {
        assert_eq!(
            get.get(&server.url(path)),
            Err(errno),
            "{path}: {}",
            get.text("error")
        );
        assert!(!get.text("error").is_empty(), "{path}");
    }
}

#[test]
fn answers_whose_first_lines_no_answer_has() {
    let server = Server::start(|call| {
        let answer = match call.path() {
            "/same" => "HTTP/1.1 200 OK\r\ncontent-length: 4, 4\r\ncontent-length: 4\r\n\r\nbody",
            "/zeros" => "HTTP/1.1 200 OK\r\ncontent-length: 0000000000000000000000004\r\n\r\nbody",
            "/1.0" => "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "/word" => "HTTP/1.1 200 OK\r\ncontent-length: four\r\n\r\nbody",
            "/negative" => "HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\nbody",
            "/plus" => "HTTP/1.1 200 OK\r\ncontent-length: +4\r\n\r\nbody",
            "/hex" => "HTTP/1.1 200 OK\r\ncontent-length: 0x4\r\n\r\nbody",
            "/fraction" => "HTTP/1.1 200 OK\r\ncontent-length: 4.0\r\n\r\nbody",
            "/nothing" => "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nbody",
            "/two" => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nbody",
            "/list" => "HTTP/1.1 200 OK\r\ncontent-length: 4, 5\r\n\r\nbody",
            "/empty-member" => "HTTP/1.1 200 OK\r\ncontent-length: 4,\r\n\r\nbody",
            "/longest-less-one" => {
                "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551614\r\n\r\nbody"
            }
            "/longest" => "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nbody",
            "/longer" => "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nbody",
            "/1.2" => "HTTP/1.2 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "/2.0" => "HTTP/2.0 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "/3" => "HTTP/3 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "/lower" => "http/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "/status" => "HTTP/1.1 20 OK\r\ncontent-length: 4\r\n\r\nbody",
            // Bytes that aren't ASCII are words that nobody can read.
            "/latin" => {
                return call.send(b"HTTP/1.1 200 \xe9t\xe9\r\ncontent-length: 4\r\n\r\nbody");
            }
            "/words" => "HTTP/1.1 200 Very well\r\ncontent-length: 4\r\n\r\nbody",
            other => panic!("{other}"),
        };
        call.send(answer.as_bytes());
    });
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    for (path, status) in [
        ("/same", "200 OK\n"),
        ("/zeros", "200 OK\n"),
        ("/1.0", "200 OK\n"),
        ("/words", "200 Very well\n"),
        ("/latin", "200 OK\n"),
    ] {
        assert_eq!(get.get(&server.url(path)).unwrap(), b"body", "{path}");
        assert_eq!(get.text("status"), status, "{path}");
    }
    for path in [
        "/word",
        "/negative",
        "/plus",
        "/hex",
        "/fraction",
        "/nothing",
        "/two",
        "/list",
        "/empty-member",
        "/longest-less-one",
        "/longest",
        "/longer",
        "/1.2",
        "/2.0",
        "/3",
        "/lower",
        "/status",
    ] {
        let outcome = get.get(&server.url(path));
        let error = get.text("error");
        assert_eq!(outcome, Err(Errno::Proto), "{path}: {error}");
        assert!(error.len() > 1, "{path}");
    }
}

#[test]
fn compressed_bodies() {
    use std::io::Write;
    let text = "many words, many words. ".repeat(10_000);
    let body = text.clone();
    let server = Server::start(move |call| {
        let bytes = body.as_bytes();
        let level = flate2::Compression::default();
        let (coding, packed) = match call.path() {
            "/gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                ("gzip", encoder.finish().unwrap())
            }
            "/zlib" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                ("deflate", encoder.finish().unwrap())
            }
            "/deflate" => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                ("deflate", encoder.finish().unwrap())
            }
            // One upon the other: the list names the one that was applied first first.
            "/both" | "/lines" | "/unknown" | "/five" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                let inner = encoder.finish().unwrap();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&inner).unwrap();
                let coding = match call.path() {
                    "/both" => "deflate, GZIP",
                    "/lines" => "deflate\r\ncontent-encoding: gzip",
                    "/unknown" => "deflate, gzip, x-other",
                    _ => "gzip, gzip, gzip, deflate, gzip",
                };
                (coding, encoder.finish().unwrap())
            }
            _ => ("gzip", b"this is no gzip".to_vec()),
        };
        let body = if call.method() == "HEAD" {
            &[][..]
        } else {
            &packed
        };
        call.answer("200 OK", &format!("content-encoding: {coding}\r\n"), body);
    });
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    for path in ["/gzip", "/zlib", "/deflate", "/both", "/lines"] {
        let body = get.get(&server.url(path)).unwrap();
        assert_eq!(body.len(), text.len(), "{path}");
        assert!(body == text.as_bytes(), "{path}");
    }
    // What can't be undone as a whole is left as it is.
    let raw = get.get(&server.url("/unknown")).unwrap();
    assert_eq!(raw[..2], [0x1f, 0x8b]);
    assert_eq!(get.get(&server.url("/five")), Err(Errno::Proto));
    assert_eq!(
        get.text("error"),
        "a body may have 4 codings, one upon the other\n"
    );
    assert_eq!(get.get(&server.url("/bad")), Err(Errno::Proto));
    assert!(
        get.text("error")
            .starts_with("the body can't be decompressed")
    );
    get.tell("method HEAD").unwrap();
    assert_eq!(get.get(&server.url("/gzip")).unwrap(), b"");
    // The limit is for what comes out.
    let root = server.device(",max-body=1000");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&server.url("/gzip")), Err(Errno::Msgsize));
}

#[test]
fn nobody_listens() {
    let root = device("fetch,origin=http://127.0.0.1:*,origin=http://[::1]:*");
    let mut get = Conversation::begin(&root).unwrap();
    // Port 1 is nobody's.
    assert_eq!(get.get("http://127.0.0.1:1/"), Err(Errno::Connrefused));
    assert!(get.text("error").contains("can't connect to `127.0.0.1`"));
}

/// A server may leave a connection at any time: one that was kept is not proof that it is still there.
#[test]
fn a_connection_that_was_kept_and_left() {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let next_request = |connection: &mut BufReader<std::net::TcpStream>| {
            let mut line = String::new();
            while connection.read_line(&mut line).unwrap() > 0 && line != "\r\n" {
                line.clear();
            }
        };
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let (first, _) = listener.accept().unwrap();
        let mut first = BufReader::new(first);
        next_request(&mut first);
        first.get_mut().write_all(answer).unwrap();
        // It takes the next request on this connection and leaves without a word.
        next_request(&mut first);
        drop(first);
        let (second, _) = listener.accept().unwrap();
        let mut second = BufReader::new(second);
        next_request(&mut second);
        second.get_mut().write_all(answer).unwrap();
        // A new connection that breaks off is no reason to ask again.
        next_request(&mut second);
        drop(second);
        let (third, _) = listener.accept().unwrap();
        drop(third);
    });
    let root = device(&format!("fetch,origin=http://{address}"));
    let url = format!("http://{address}/");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&url).unwrap(), b"ok");
    assert_eq!(get.get(&url).unwrap(), b"ok");
    assert_eq!(get.get(&url), Err(Errno::Connreset));
    server.join().unwrap();
}
