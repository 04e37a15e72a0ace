//! `/cap/fetch` against servers on loopback: what an agent sees of answers, good and bad.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use capfs::Errno;
use capfs::account::Account;
use capfs::testkit::{READ, READ_WRITE, now, read, read_at, walk};
use capfs_native_devices::Host;
use support::{Call, Conversation, Server, WRITE, all, device, grant, write_all};

/// Answers with what was asked.
fn echo(call: &mut Call) {
    let body = call.body();
    let mut text = format!("{}\n", call.line);
    for (name, value) in &call.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push('\n');
    let mut answer = text.into_bytes();
    answer.extend(body);
    call.answer("200 OK", "x-one: 1\r\nX-Two: a\r\nx-two: b\r\n", &answer);
}

#[test]
fn a_request_and_its_answer() {
    let server = Server::start(echo);
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.text("status"), "");
    get.tell("header X-Mine: yes\nheader accept: text/plain")
        .unwrap();
    let body = String::from_utf8(get.get(&server.url("/a/b?c=d#e")).unwrap()).unwrap();
    assert!(body.starts_with("GET /a/b?c=d HTTP/1.1\n"), "{body}");
    assert!(
        body.contains("x-mine: yes\n") && body.contains("accept: text/plain\n"),
        "{body}"
    );
    assert!(body.contains("user-agent: capfs/"), "{body}");
    assert_eq!(get.text("status"), "200 OK\n");
    assert_eq!(get.text("headers/x-two"), "a, b\n");
    assert!(get.text("header").contains("x-one: 1\n"));
    let names = capfs::testkit::names_in(&walk(&root, "1/headers").unwrap()).unwrap();
    assert_eq!(names, ["content-length", "x-one", "x-two"]);
    assert_eq!(get.text("parsed/path"), "/a/b\n");
    assert_eq!(get.text("parsed/query"), "c=d\n");
    assert_eq!(get.text("parsed/fragment"), "e\n");
    assert_eq!(get.text("parsed/host"), "127.0.0.1\n");
    assert_eq!(
        get.text("parsed/port"),
        format!("{}\n", server.address.port())
    );
    assert_eq!(get.text("error"), "");

    // The same conversation asks again.
    get.body().unwrap();
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_body_is_sent() {
    let server = Server::start(echo);
    let root = server.device(",method=POST,method=GET,max-request=100000");
    let mut post = Conversation::begin(&root).unwrap();
    post.tell(&format!("url {}", server.url("/"))).unwrap();
    post.write("postbody", b"first ").unwrap();
    post.write("postbody", &[b'x'; 70_000]).unwrap();
    let body = String::from_utf8(post.body().unwrap()).unwrap();
    assert!(body.starts_with("POST / HTTP/1.1\n"), "{body}");
    assert!(body.contains("content-length: 70006\n"));
    assert!(body.ends_with(&format!("\n\nfirst {}", "x".repeat(70_000))));

    // It was sent: the next request has none.
    let body = String::from_utf8(post.body().unwrap()).unwrap();
    assert!(body.starts_with("GET / HTTP/1.1\n"), "{body}");
    let much = post.write("postbody", &[b'x'; 100_001]);
    assert_eq!(much, Err(Errno::Msgsize));
    assert_eq!(
        post.text("error"),
        "the body of a request may have 100000 bytes\n"
    );
    post.tell("method GET").unwrap();
    post.write("postbody", b"x").unwrap();
    assert_eq!(post.body(), Err(Errno::Inval));
}

#[test]
fn a_body_is_sent_while_it_is_written() {
    let (seen, first_seen) = mpsc::channel();
    let server = Server::start(move |call| {
        // The first chunk comes before the body has ended.
        let mut line = String::new();
        std::io::BufRead::read_line(&mut call.connection, &mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        std::io::Read::read_exact(&mut call.connection, &mut chunk).unwrap();
        seen.send(chunk).unwrap();
        let rest = call.body();
        call.answer("200 OK", "", format!("{}", rest.len()).as_bytes());
    });
    let root = server.device(",method=POST");
    let mut post = Conversation::begin(&root).unwrap();
    post.tell(&format!("url {}", server.url("/"))).unwrap();
    let mut upload = post.open("postbody", WRITE).unwrap();
    write_all(&mut *upload, b"early").unwrap();
    post.tell("send").unwrap();
    assert_eq!(first_seen.recv().unwrap(), b"early\r\n");
    assert_eq!(post.tell("send"), Err(Errno::Busy));
    assert_eq!(post.tell("url http://127.0.0.1/"), Err(Errno::Busy));
    // More than the window: the writer waits for the server.
    write_all(&mut *upload, &vec![7; 3 << 20]).unwrap();
    drop(upload);
    assert_eq!(post.body().unwrap(), (3 << 20).to_string().as_bytes());
}

#[test]
fn what_is_not_granted() {
    let server = Server::start(echo);
    let other = Server::start(echo);
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    for url in [
        other.url("/"),
        server.url("/").replace("http", "https"),
        "http://localhost/".to_owned(),
    ] {
        assert_eq!(get.get(&url), Err(Errno::Acces), "{url}");
        assert!(get.text("error").ends_with("is not granted\n"), "{url}");
    }
    // Other spellings of the address are the same address.
    let port = server.address.port();
    get.get(&format!("http://0x7f000001:{port}/")).unwrap();
    get.get(&format!("http://2130706433:{port}/")).unwrap();
    assert_eq!(
        get.get(&format!("http://127.0.0.2:{port}/")),
        Err(Errno::Acces)
    );
    assert_eq!(
        get.get(&format!("http://user:secret@127.0.0.1:{port}/")),
        Err(Errno::Inval)
    );
    get.tell("method POST").unwrap();
    assert_eq!(get.get(&server.url("/")), Err(Errno::Acces));
    assert_eq!(get.text("error"), "the method POST is not granted\n");
    assert_eq!(other.connections(), 0);
}

#[test]
fn commands_that_are_none() {
    let server = Server::start(echo);
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    for (command, errno) in [
        ("fly", Errno::Inval),
        ("url", Errno::Inval),
        ("url not a url", Errno::Inval),
        ("method G ET", Errno::Inval),
        ("method connect", Errno::Acces),
        ("header no colon", Errno::Inval),
        ("header na me: x", Errno::Inval),
        ("header name: \u{1}", Errno::Inval),
        ("header Host: elsewhere", Errno::Acces),
        ("header Cookie: a=b", Errno::Acces),
        ("header Sec-Fetch-Site: none", Errno::Acces),
        ("header content-length: 3", Errno::Acces),
        ("timeout soon", Errno::Inval),
        ("timeout 0", Errno::Inval),
        ("redirect maybe", Errno::Inval),
        ("send now", Errno::Inval),
        ("abort it", Errno::Inval),
    ] {
        assert_eq!(get.tell(command), Err(errno), "{command}");
        assert!(!get.text("error").is_empty(), "{command}");
    }
    // What new conversations begin with is set by another file, and explained beside it.
    let defaults = || now(walk(&root, "ctl").unwrap().open(READ_WRITE)).unwrap();
    let set = write_all(&mut *defaults(), b"redirect maybe\n");
    assert_eq!(set, Err(Errno::Inval));
    let mut error = now(walk(&root, "error").unwrap().open(READ)).unwrap();
    assert!(!all(&mut *error).unwrap().is_empty());
    assert_eq!(get.body(), Err(Errno::Inval));
    let long = format!("url http://a.example/{}", "x".repeat(9_000));
    assert_eq!(get.tell(&long), Err(Errno::Nametoolong));
    let mut set = Ok(());
    for _ in 0..40 {
        set = get.tell(&format!("header x: {}", "v".repeat(1_000)));
    }
    assert_eq!(set, Err(Errno::Nospc));
    assert_eq!(server.connections(), 0);
}

#[test]
fn grants_that_are_none() {
    let host = Host::default();
    for flag in [
        "fetch",
        "fetch,origin=a.example",
        "fetch,origin=ws://a.example",
        "fetch,origin=*,method=CONNECT",
        "fetch,origin=*,method=a b",
        "fetch,origin=*,max-body=lots",
        "fetch,origin=*,rate=1/h",
        "fetch,origin=*,concurrency=0",
        "fetch,origin=*,header=X-Key: 1",
        "fetch,origin=*,header=https://a.example Host: b",
        "fetch,origin=*,redirect=never",
        "fetch,origin=*,network=10",
        "fetch,origin=*,max_body=1",
    ] {
        assert!(host.device(&grant(flag)).is_err(), "{flag}");
    }
    let secret = "fetch,origin=*,header=https://a.example X-Key s3cret";
    let error = host.device(&grant(secret)).err().unwrap();
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn the_policy_is_readable_and_keeps_secrets() {
    let root = device(
        "fetch,origin=https://*.a.example,method=GET,method=post,rate=20/s,header=https://b.a.example X-Key: s3cret,network=10.0.0.0/8,max-body=1MiB",
    );
    let text = String::from_utf8(read(&root, "policy").unwrap()).unwrap();
    assert_eq!(
        text,
        "origin https://*.a.example\nmethod GET\nmethod POST\nmax-body 1048576\nmax-request 16777216\nrate 20/s\n\
         concurrency 32\ntimeout 30000\nheader https://b.a.example x-key: ***\nredirect follow\nnetwork 10.0.0.0/8\n\
         conversations 256\n"
    );
}

#[test]
fn headers_of_the_host() {
    let other = Server::start(echo);
    let there = other.url("/there");
    let server = Server::start(move |call| match call.path() {
        "/away" => call.answer("302 Found", &format!("location: {there}\r\n"), b""),
        _ => echo(call),
    });
    let root = device(&format!(
        "fetch,origin=http://{0},origin=http://{1},header=http://{0} X-Key: s3cret",
        server.address, other.address
    ));
    let mut get = Conversation::begin(&root).unwrap();
    get.tell("header x-key: mine\nheader authorization: Basic x\nheader x-own: 1\nheader accept: text/plain")
        .unwrap();
    let text = String::from_utf8(get.get(&server.url("/")).unwrap()).unwrap();
    assert!(
        text.contains("x-key: s3cret\n") && !text.contains("mine"),
        "{text}"
    );
    // To another origin goes what describes content, and nothing that may be between the agent and the first one.
    let text = String::from_utf8(get.get(&server.url("/away")).unwrap()).unwrap();
    assert!(
        !text.contains("s3cret") && !text.contains("authorization"),
        "{text}"
    );
    assert!(
        !text.contains("x-own") && !text.contains("x-key") && text.contains("accept: text/plain\n"),
        "{text}"
    );
    assert_eq!(get.text("parsed/url"), format!("{}\n", other.url("/there")));
}

#[test]
fn redirects() {
    let ungranted = Server::start(echo);
    let elsewhere = ungranted.url("/secret");
    let server = Server::start(move |call| {
        let body = call.body();
        let (status, location) = match call.path() {
            "/301" => ("301 Moved Permanently", "/end".to_owned()),
            "/303" => ("303 See Other", "end".to_owned()),
            "/307" => ("307 Temporary Redirect", "//127.0.0.1:PORT/end".to_owned()),
            "/loop" => ("302 Found", "/loop".to_owned()),
            "/elsewhere" => ("302 Found", elsewhere.clone()),
            "/file" => ("302 Found", "file:///etc/passwd".to_owned()),
            "/bad" => ("302 Found", "http://[".to_owned()),
            "/none" => return call.answer("302 Found", "", b"no location"),
            _ => {
                let text = format!("{} {} {}", call.method(), call.path(), body.len());
                return call.answer("200 OK", "", text.as_bytes());
            }
        };
        let port = call
            .connection
            .get_ref()
            .local_addr()
            .unwrap()
            .port()
            .to_string();
        let location = location.replace("PORT", &port);
        call.answer(status, &format!("location: {location}\r\n"), b"gone");
    });
    let root = server.device(",method=*");
    let mut agent = Conversation::begin(&root).unwrap();
    assert_eq!(agent.get(&server.url("/301")).unwrap(), b"GET /end 0");
    assert_eq!(
        agent.text("parsed/url"),
        format!("{}\n", server.url("/end"))
    );
    for (path, method, seen) in [
        ("/301", "POST", "GET /end 0"),
        ("/301", "PUT", "PUT /end 3"),
        ("/303", "PUT", "GET /end 0"),
        ("/307", "POST", "POST /end 3"),
    ] {
        agent.tell(&format!("method {method}")).unwrap();
        agent.write("postbody", b"abc").unwrap();
        let body = agent.get(&server.url(path)).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), seen, "{method} {path}");
    }
    agent.tell("method GET").unwrap();
    assert_eq!(agent.get(&server.url("/none")).unwrap(), b"no location");
    let before = server.requests();
    assert_eq!(agent.get(&server.url("/loop")), Err(Errno::Loop));
    assert_eq!(server.requests() - before, 21);
    assert_eq!(agent.get(&server.url("/elsewhere")), Err(Errno::Acces));
    assert_eq!(
        agent.text("error"),
        format!("the origin http://{} is not granted\n", ungranted.address)
    );
    assert_eq!(agent.get(&server.url("/file")), Err(Errno::Acces));
    assert_eq!(agent.get(&server.url("/bad")), Err(Errno::Proto));
    assert_eq!(ungranted.connections(), 0);

    agent.tell("redirect manual").unwrap();
    assert_eq!(agent.get(&server.url("/301")).unwrap(), b"gone");
    assert_eq!(agent.text("status"), "301 Moved Permanently\n");
    assert_eq!(agent.text("headers/location"), "/end\n");

    let root = server.device(",redirect=manual");
    let mut agent = Conversation::begin(&root).unwrap();
    assert_eq!(agent.tell("redirect follow"), Err(Errno::Acces));
    assert_eq!(agent.get(&server.url("/301")).unwrap(), b"gone");
}

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
fn requests_end_with_the_capability() {
    let (closed, closes) = mpsc::channel();
    let server = Server::start(move |call| {
        call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        call.wait_for_close();
        closed.send(()).unwrap();
    });
    let origin = server.url("");
    let terms = format!("fetch,origin={}", origin.trim_end_matches('/'));
    let capability = Host::default().capability(&grant(&terms)).unwrap();
    let mut get = Conversation::begin(capability.root()).unwrap();
    get.tell(&format!("url {}", server.url("/body"))).unwrap();
    let mut body = get.open("body", READ).unwrap();
    assert_eq!(read_at(&mut *body, 0, 9).unwrap(), b"half");
    // The descriptor stays open: it is not the agent that lets go.
    capability.end();
    closes.recv().unwrap();
    assert!(read_at(&mut *body, 0, 9).is_err());
}

#[test]
fn a_request_is_given_up() {
    let (came, comes) = mpsc::channel();
    let (closed, closes) = mpsc::channel();
    let server = Server::start(move |call| {
        came.send(()).unwrap();
        if call.path() == "/body" {
            call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        }
        call.wait_for_close();
        closed.send(()).unwrap();
    });
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    // While it waits for the headers, from another descriptor.
    get.tell(&format!("url {}", server.url("/nothing")))
        .unwrap();
    let mut ctl = get.open("ctl", READ_WRITE).unwrap();
    let waiting = std::thread::spawn(move || {
        let outcome = get.body();
        (get, outcome)
    });
    comes.recv().unwrap();
    write_all(&mut *ctl, b"abort\n").unwrap();
    let (mut get, outcome) = waiting.join().unwrap();
    assert_eq!(outcome, Err(Errno::Canceled));
    closes.recv().unwrap();
    // While it waits for the body.
    get.tell(&format!("url {}", server.url("/body"))).unwrap();
    let mut body = get.open("body", READ).unwrap();
    comes.recv().unwrap();
    assert_eq!(get.open("body", READ).err(), Some(Errno::Busy));
    assert_eq!(read_at(&mut *body, 0, 9).unwrap(), b"half");
    let waiting = std::thread::spawn(move || read_at(&mut *body, 0, 9));
    write_all(&mut *ctl, b"abort\n").unwrap();
    assert_eq!(waiting.join().unwrap(), Err(Errno::Canceled));
    closes.recv().unwrap();
    // By closing the body, and by ending the conversation.
    drop(get.open("body", READ).unwrap());
    comes.recv().unwrap();
    closes.recv().unwrap();
    get.tell("send").unwrap();
    comes.recv().unwrap();
    drop((get, ctl));
    closes.recv().unwrap();
}

#[test]
fn urls_as_paths() {
    let server = Server::start(|call| match call.path() {
        "/missing" => call.answer("404 Not Found", "", b"no"),
        "/forbidden" => call.answer("403 Forbidden", "", b"no"),
        "/broken" => call.answer("500 Oops", "", b"no"),
        path => {
            let path = path.to_owned();
            call.answer("200 OK", "", path.as_bytes());
        }
    });
    let root = server.device("");
    let at = |path: &str| format!("http/{}{path}", server.address);
    assert_eq!(read(&root, &at("")).unwrap(), b"/");
    assert_eq!(read(&root, &at("/a/b?c=d e")).unwrap(), b"/a/b?c=d%20e");
    assert_eq!(read(&root, &at("/missing")), Err(Errno::Noent));
    assert_eq!(read(&root, &at("/forbidden")), Err(Errno::Acces));
    assert_eq!(read(&root, &at("/broken")), Err(Errno::Io));
    assert_eq!(read(&root, "error").unwrap(), b"500 Oops\n");
    assert_eq!(read(&root, "https/a.example/x"), Err(Errno::Acces));
    let file = now(walk(&root, &at("/")).unwrap().open(WRITE));
    assert_eq!(file.err(), Some(Errno::Acces));
}

#[test]
fn limits_on_how_many() {
    let server = Server::start(echo);
    let root = server.device(",concurrency=2");
    let mut all_of_them = Vec::new();
    for _ in 0..10_000 {
        match Conversation::begin(&root) {
            Ok(conversation) => all_of_them.push(conversation),
            Err(errno) => assert_eq!(errno, Errno::Mfile),
        }
    }
    assert_eq!(all_of_them.len(), 256);
    let mut bodies = Vec::new();
    for (place, conversation) in all_of_them.iter_mut().take(3).enumerate() {
        conversation
            .tell(&format!("url {}", server.url("/")))
            .unwrap();
        match conversation.open("body", READ) {
            Ok(body) => bodies.push(body),
            Err(errno) => assert_eq!((place, errno), (2, Errno::Mfile)),
        }
    }
    bodies.pop();
    assert!(all_of_them[2].body().is_ok());
    drop(bodies);
    all_of_them.clear();
    let names = capfs::testkit::names_in(&root).unwrap();
    assert!(
        !names.iter().any(|name| name.parse::<u64>().is_ok()),
        "{names:?}"
    );
}

#[test]
fn rates() {
    let server = Server::start(echo);
    let root = server.device(",rate=4/s,timeout=400ms");
    let mut get = Conversation::begin(&root).unwrap();
    let began = Instant::now();
    // Four at once, and then one each quarter of a second.
    for _ in 0..5 {
        get.get(&server.url("/")).unwrap();
    }
    assert!(began.elapsed().as_millis() >= 245, "{:?}", began.elapsed());
    // A request that could not begin in time is refused at once.
    get.tell("timeout 1").unwrap();
    assert_eq!(get.get(&server.url("/")), Err(Errno::Timedout));
}

#[test]
fn a_narrowed_device_keeps_both_policies() {
    use capfs_devices::fetch::Fetch;
    let server = Server::start(echo);
    let host = Host::default().net().unwrap();
    let terms = grant("fetch,origin=*,network=127.0.0.0/8,method=*");
    let unlimited = Account::unlimited();
    let wide = Fetch::new(host, &terms, &unlimited).unwrap();
    let narrow = wide
        .narrowed(
            &grant(&format!(
                "fetch,origin=http://{},max-body=10",
                server.address
            )),
            &unlimited,
        )
        .unwrap();
    let root = narrow.root();
    let mut get = Conversation::begin(&root).unwrap();
    assert_eq!(get.get(&server.url("/")), Err(Errno::Msgsize));
    assert_eq!(get.get("http://127.0.0.1:1/"), Err(Errno::Acces));
    get.tell("method POST").unwrap();
    assert_eq!(get.get(&server.url("/")), Err(Errno::Acces));
    // What the parent may not do the child may not, whatever it was granted.
    let wider = narrow
        .narrowed(
            &grant("fetch,origin=*,method=*,network=0.0.0.0/0"),
            &unlimited,
        )
        .unwrap()
        .root();
    let mut get = Conversation::begin(&wider).unwrap();
    assert_eq!(get.get(&server.url("/")), Err(Errno::Msgsize));
    // And it is asked about addresses itself.
    let narrower = narrow.narrowed(&grant("fetch,origin=*"), &unlimited);
    let narrower = narrower.unwrap().root();
    let mut get = Conversation::begin(&narrower).unwrap();
    assert_eq!(get.get(&server.url("/")), Err(Errno::Acces));
    assert!(get.text("error").contains("is not public"));
}

#[test]
fn redirects_are_followed_where_all_policies_say_so() {
    use capfs_devices::fetch::Fetch;
    let server = Server::start(|call| match call.path() {
        "/end" => call.answer("200 OK", "", b"arrived"),
        _ => call.answer("302 Found", "location: /end\r\n", b"gone"),
    });
    for (parent, child, seen) in [
        ("follow", "follow", "arrived"),
        ("follow", "manual", "gone"),
        ("manual", "follow", "gone"),
    ] {
        let terms = |redirect| {
            let origin = format!("http://{}", server.address);
            grant(&format!("fetch,origin={origin},redirect={redirect}"))
        };
        let host = Host::default().net().unwrap();
        let wide = Fetch::new(host, &terms(parent), &Account::unlimited()).unwrap();
        let narrow = wide
            .narrowed(&terms(child), &Account::unlimited())
            .unwrap()
            .root();
        let mut get = Conversation::begin(&narrow).unwrap();
        let body = get.get(&server.url("/")).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), seen, "{parent}, {child}");
    }
}

#[test]
fn many_requests_by_few_connections() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = Server::start(move |call| {
        let number = counted.fetch_add(1, Ordering::SeqCst).to_string();
        call.answer("200 OK", "", number.as_bytes());
    });
    let root = server.device("");
    let mut get = Conversation::begin(&root).unwrap();
    get.tell(&format!("url {}", server.url("/"))).unwrap();
    for number in 0..1_000 {
        let mut body = get.open("body", READ).unwrap();
        assert_eq!(all(&mut *body).unwrap(), number.to_string().as_bytes());
    }
    // One, unless the next request began before the pool had the connection back.
    assert!(server.connections() < 20, "{}", server.connections());
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
