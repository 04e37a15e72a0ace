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
fn methods_are_written_as_browsers_write_them() {
    let server = Server::start(|call| {
        let method = call.method().to_owned();
        call.body();
        call.answer("200 OK", &format!("x-method: {method}\r\n"), b"");
    });
    let root = server.device(",method=*");
    let mut agent = Conversation::begin(&root).unwrap();
    for (word, sent) in [
        ("delete", "DELETE"),
        ("Get", "GET"),
        ("head", "HEAD"),
        ("options", "OPTIONS"),
        ("post", "POST"),
        ("puT", "PUT"),
        ("patch", "patch"),
        ("PATCH", "PATCH"),
        ("report", "report"),
    ] {
        agent.tell(&format!("method {word}")).unwrap();
        agent.get(&server.url("/")).unwrap();
        assert_eq!(
            agent.text("headers/x-method"),
            format!("{sent}\n"),
            "{word}"
        );
    }
    // What is granted in upper case is what is sent in upper case.
    let root = server.device(",method=PATCH");
    let mut agent = Conversation::begin(&root).unwrap();
    agent.tell("method patch").unwrap();
    assert_eq!(agent.get(&server.url("/")), Err(Errno::Acces));
    agent.tell("method PATCH").unwrap();
    agent.get(&server.url("/")).unwrap();
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
            "/user" => ("302 Found", "http://me@127.0.0.1:PORT/end".to_owned()),
            "/password" => ("302 Found", "http://:pw@127.0.0.1:PORT/end".to_owned()),
            "/fragment" => ("302 Found", "/end#own".to_owned()),
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
    // Where the server leads is its doing; what the agent asks for is its own.
    for path in ["/user", "/password"] {
        assert_eq!(agent.get(&server.url(path)), Err(Errno::Proto), "{path}");
        assert!(agent.text("error").contains("a redirect to a URL with"));
    }
    let own = server.url("/end").replace("//", "//me:pw@");
    assert_eq!(agent.get(&own), Err(Errno::Inval));
    agent.get(&server.url("/fragment#asked")).unwrap();
    assert_eq!(agent.text("parsed/fragment"), "own\n");
    agent.get(&server.url("/301#asked")).unwrap();
    assert_eq!(agent.text("parsed/fragment"), "asked\n");
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
