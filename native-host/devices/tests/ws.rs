//! `/cap/ws` against servers on loopback: messages, closes, limits, and who waits for whom.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use capfs::account::Account;
use capfs::testkit::{READ, READ_WRITE, read, read_at, wait, write_at};
use capfs::{Errno, Interest, NodeRef, OpenFile, WriteAt};
use capfs_native_devices::Host;
use support::{Conversation, device, grant};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

type Connection = WebSocket<TcpStream>;

/// Hands each connection to a function, one thread a connection. The first sub-protocol is chosen, `none` excepted.
#[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
fn serve(handler: impl Fn(Connection) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let handler = handler.clone();
            thread::spawn(move || {
                tcp.set_nodelay(true).unwrap();
                let choose = |request: &Request, mut response: Response| {
                    let wanted = request.headers().get("sec-websocket-protocol");
                    if let Some(first) =
                        wanted.and_then(|all| all.to_str().ok()?.split(", ").next())
                        && first != "none"
                    {
                        response
                            .headers_mut()
                            .insert("sec-websocket-protocol", first.parse().unwrap());
                    }
                    Ok(response)
                };
                if let Ok(connection) = accept_hdr(tcp, choose) {
                    handler(connection);
                }
            });
        }
    });
    address
}

fn echo(mut connection: Connection) {
    while let Ok(message) = connection.read() {
        if message.is_close() {
            let _ = connection.flush();
            // Until the client has seen it.
            while connection.read().is_ok() {}
            return;
        }
        if message.is_text() || message.is_binary() {
            connection.send(message).unwrap();
        }
    }
}

fn granted(address: SocketAddr, terms: &str) -> NodeRef {
    device(&format!("ws,origin=ws://{address}{terms}"))
}

fn connected(root: &NodeRef, address: SocketAddr) -> (Conversation, Box<dyn OpenFile>) {
    let mut agent = Conversation::begin(root).unwrap();
    agent.tell(&format!("connect ws://{address}/")).unwrap();
    let data = agent.open("data", READ_WRITE).unwrap();
    (agent, data)
}

fn send(data: &mut dyn OpenFile, message: &[u8]) -> Result<usize, Errno> {
    write_at(data, WriteAt::End, message).map(|written| written.bytes)
}

#[test]
fn messages_there_and_back() {
    let address = serve(echo);
    let root = granted(address, "");
    let mut agent = Conversation::begin(&root).unwrap();
    assert_eq!(agent.text("status"), "Closed\n");
    let mut data = agent.open("data", READ_WRITE).unwrap();
    assert_eq!(read_at(&mut *data, 0, 9), Err(Errno::Notconn));
    assert_eq!(send(&mut *data, b"x"), Err(Errno::Notconn));
    agent
        .tell(&format!("connect ws://{address}/chat first second"))
        .unwrap();
    assert_eq!(agent.text("status"), "Established\n");
    assert_eq!(agent.text("protocol"), "first\n");
    assert_eq!(
        agent.text("remote"),
        format!("127.0.0.1!{}\n", address.port())
    );
    assert!(agent.text("local").starts_with("127.0.0.1!"));
    assert_eq!(agent.text("type"), "");
    assert_eq!(
        agent.tell(&format!("connect ws://{address}/")),
        Err(Errno::Isconn)
    );

    send(&mut *data, "gr\u{fc}\u{df}e".as_bytes()).unwrap();
    send(&mut *data, b"second").unwrap();
    // A read never crosses a message.
    assert_eq!(
        read_at(&mut *data, 0, 100).unwrap(),
        "gr\u{fc}\u{df}e".as_bytes()
    );
    assert_eq!(agent.text("type"), "text\n");
    assert_eq!(read_at(&mut *data, 0, 4).unwrap(), b"seco");
    assert_eq!(read_at(&mut *data, 0, 4).unwrap(), b"nd");
    assert_eq!(send(&mut *data, &[0xff, 0xfe]), Err(Errno::Ilseq));
    agent.tell("binary").unwrap();
    send(&mut *data, &[0xff, 0, 0xfe]).unwrap();
    assert_eq!(read_at(&mut *data, 0, 100).unwrap(), [0xff, 0, 0xfe]);
    assert_eq!(agent.text("type"), "binary\n");
    // An empty message is one.
    send(&mut *data, b"").unwrap();
    assert_eq!(read_at(&mut *data, 0, 100).unwrap(), b"");
    assert_eq!(agent.text("status"), "Established\n");
    let large = vec![7; 3 << 20];
    send(&mut *data, &large).unwrap();
    let mut whole = Vec::new();
    while whole.len() < large.len() {
        whole.extend(read_at(&mut *data, 0, 100_000).unwrap());
    }
    assert!(whole == large);

    agent.tell("hangup 3001 had enough").unwrap();
    assert_eq!(read_at(&mut *data, 0, 9).unwrap(), b"");
    assert_eq!(agent.text("status"), "Hangup 3001 had enough\n");
    assert_eq!(send(&mut *data, b"x"), Err(Errno::Pipe));
    // Another connection in the same conversation.
    agent
        .tell(&format!("connect ws://{address}/\ntext"))
        .unwrap();
    send(&mut *data, b"again").unwrap();
    assert_eq!(read_at(&mut *data, 0, 9).unwrap(), b"again");
}

/// A server that answers the handshake, and sends bytes of its own in the same breath.
fn raw(after: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        let request = String::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then_some(value)
        });
        let accept = derive_accept_key(key.unwrap().as_bytes());
        let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept:";
        let mut answer = format!("{head} {accept}\r\n\r\n").into_bytes();
        answer.extend(after);
        tcp.write_all(&answer).unwrap();
        // Until the client has gone.
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    address
}

#[test]
fn what_came_before_a_wrong_frame_is_the_agents() {
    // A message, and another whose length of two is written in two bytes, together with the handshake.
    let address = raw(b"\x81\x02hi\x81\x7e\x00\x02no");
    let root = granted(address, "");
    let (_agent, mut data) = connected(&root, address);
    assert_eq!(read_at(&mut *data, 0, 9).unwrap(), b"hi");
    assert_eq!(read_at(&mut *data, 0, 9), Err(Errno::Proto));
}

#[test]
fn a_connection_is_given_up_before_it_is_there() {
    // Nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let root = granted(address, "");
    let mut agent = Conversation::begin(&root).unwrap();
    let mut ctl = agent.open("ctl", READ_WRITE).unwrap();
    let connecting = thread::spawn(move || {
        let outcome = agent.tell(&format!("connect ws://{address}/"));
        (agent, outcome)
    });
    let (mut tcp, _) = listener.accept().unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).unwrap(), 1);
    write_at(&mut *ctl, WriteAt::End, b"hangup\n").unwrap();
    let (mut agent, outcome) = connecting.join().unwrap();
    assert_eq!(outcome, Err(Errno::Canceled));
    assert_eq!(agent.text("status"), "Closed\n");
    assert_eq!(agent.tell("hangup"), Err(Errno::Notconn));
    // The server sees it go.
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"\r\n\r\n"));
}

#[test]
fn connections_end_with_the_capability() {
    let (gone, goes) = mpsc::channel();
    let address = serve(move |mut connection| {
        while connection.read().is_ok() {}
        gone.send(()).unwrap();
    });
    let terms = grant(&format!("ws,origin=ws://{address}"));
    let capability = Host::default().capability(&terms).unwrap();
    let child = capability.narrowed(&terms, &Account::unlimited()).unwrap();
    // Both descriptors stay open: it is not the agent that lets go.
    let (_own, mut own) = connected(capability.root(), address);
    let (mut below, mut data) = connected(child.root(), address);
    capability.end();
    goes.recv().unwrap();
    goes.recv().unwrap();
    assert_eq!(read_at(&mut *own, 0, 9), Err(Errno::Notconn));
    assert_eq!(read_at(&mut *data, 0, 9), Err(Errno::Notconn));
    // Nor does anything begin any more.
    let again = below.tell(&format!("connect ws://{address}/"));
    assert_eq!(again, Err(Errno::Canceled));
}

#[test]
fn the_end_is_told_behind_what_came_before() {
    let (closed, closes) = mpsc::channel();
    let address = serve(move |mut connection| {
        for message in ["first", "", "behind the empty one", ""] {
            connection.send(Message::text(message)).unwrap();
        }
        let frame = CloseFrame {
            code: 4000.into(),
            reason: "two\nHangup 1000 lines\u{1b}[2J".into(),
        };
        connection.close(Some(frame)).unwrap();
        while connection.read().is_ok() {}
        // The close was answered, so that all of it has come.
        closed.send(()).unwrap();
    });
    let root = granted(address, "");
    let (agent, mut data) = connected(&root, address);
    closes.recv().unwrap();
    for message in ["first", "", "behind the empty one", ""] {
        assert_eq!(agent.text("status"), "Established\n", "{message}");
        assert_eq!(read_at(&mut *data, 0, 99).unwrap(), message.as_bytes());
    }
    assert_eq!(agent.text("status"), "Established\n");
    assert_eq!(read_at(&mut *data, 0, 99).unwrap(), b"");
    // One line, whatever the server says.
    assert_eq!(
        agent.text("status"),
        "Hangup 4000 two\u{fffd}Hangup 1000 lines\u{fffd}[2J\n"
    );
}

#[test]
fn how_servers_close() {
    let (told, codes) = mpsc::channel();
    let address = serve(move |mut connection| {
        let Ok(Message::Text(how)) = connection.read() else {
            return;
        };
        connection.send(Message::text("last words")).unwrap();
        match how.as_str() {
            "normal" | "4321" => {
                let (code, reason) = match how.as_str() {
                    "normal" => (1000, ""),
                    _ => (4321, "because"),
                };
                let frame = CloseFrame {
                    code: code.into(),
                    reason: reason.into(),
                };
                connection.close(Some(frame)).unwrap();
                while connection.read().is_ok() {}
            }
            "no code" => {
                connection.close(None).unwrap();
                while connection.read().is_ok() {}
            }
            "break" => connection.get_ref().shutdown(Shutdown::Both).unwrap(),
            "mid-message" => {
                // A frame that says 100 bytes and has four.
                connection
                    .get_mut()
                    .write_all(&[0x81, 100, b'h', b'a', b'l', b'f'])
                    .unwrap();
                connection.get_ref().shutdown(Shutdown::Both).unwrap();
            }
            "nonsense" => {
                connection.get_mut().write_all(&[0xff; 64]).unwrap();
                while connection.read().is_ok() {}
            }
            "long length" => {
                // A byte, whose length is said in two.
                let frame = [0x81, 126, 0, 1, b'x'];
                connection.get_mut().write_all(&frame).unwrap();
                // It is told what is wrong.
                let code = |frame: CloseFrame| u16::from(frame.code);
                let code = match connection.read() {
                    Ok(Message::Close(frame)) => frame.map(code),
                    _ => None,
                };
                told.send(code).unwrap();
            }
            "not text" => {
                connection.get_mut().write_all(&[0x81, 1, 0xff]).unwrap();
                while connection.read().is_ok() {}
            }
            _ => unreachable!(),
        }
    });
    let root = granted(address, "");
    for (how, end, status) in [
        ("normal", Ok(vec![]), "Hangup 1000\n"),
        ("4321", Ok(vec![]), "Hangup 4321 because\n"),
        ("no code", Ok(vec![]), "Hangup 1005\n"),
        ("break", Err(Errno::Connreset), ""),
        ("mid-message", Err(Errno::Connreset), ""),
        ("nonsense", Err(Errno::Proto), ""),
        ("long length", Err(Errno::Proto), ""),
        ("not text", Err(Errno::Proto), ""),
    ] {
        let (agent, mut data) = connected(&root, address);
        send(&mut *data, how.as_bytes()).unwrap();
        assert_eq!(read_at(&mut *data, 0, 99).unwrap(), b"last words", "{how}");
        assert_eq!(
            read_at(&mut *data, 0, 99),
            end,
            "{how}: {}",
            agent.text("error")
        );
        assert_eq!(read_at(&mut *data, 0, 99), end, "{how}, again");
        match status {
            "" => assert!(agent.text("status").starts_with("Hangup 1006 "), "{how}"),
            status => assert_eq!(agent.text("status"), status, "{how}"),
        }
        assert_eq!(send(&mut *data, b"x"), Err(Errno::Pipe), "{how}");
    }
    assert_eq!(codes.recv().unwrap(), Some(1002));
}

#[test]
fn what_is_not_granted_and_what_is_no_command() {
    let address = serve(echo);
    let other = serve(echo);
    let root = granted(address, "");
    let mut agent = Conversation::begin(&root).unwrap();
    for (command, errno) in [
        (format!("connect ws://{other}/"), Errno::Acces),
        (format!("connect wss://{address}/"), Errno::Acces),
        (format!("connect http://{address}/"), Errno::Acces),
        (format!("connect ws://user:secret@{address}/"), Errno::Inval),
        (format!("connect ws://{address}/#part"), Errno::Inval),
        (format!("connect ws://{address}/ a a"), Errno::Inval),
        (format!("connect ws://{address}/ a,b"), Errno::Inval),
        (
            format!("connect ws://{address}/{}", "x".repeat(9_000)),
            Errno::Nametoolong,
        ),
        ("connect".to_owned(), Errno::Inval),
        ("connect nowhere".to_owned(), Errno::Inval),
        ("hangup".to_owned(), Errno::Notconn),
        ("hangup 1001".to_owned(), Errno::Inval),
        ("hangup soon".to_owned(), Errno::Inval),
        (format!("hangup 1000 {}", "x".repeat(124)), Errno::Inval),
        ("text please".to_owned(), Errno::Inval),
        ("sing".to_owned(), Errno::Inval),
    ] {
        assert_eq!(agent.tell(&command), Err(errno), "{command}");
        assert!(!agent.text("error").is_empty(), "{command}");
    }
    let root = device("ws,origin=*");
    let mut agent = Conversation::begin(&root).unwrap();
    assert_eq!(
        agent.tell(&format!("connect ws://{address}/")),
        Err(Errno::Acces)
    );
    assert!(
        agent
            .text("error")
            .contains("is not public and not granted")
    );
    let policy = read(
        &device("ws,origin=wss://*.a.example,header=wss://b.a.example X-Key: s3cret"),
        "policy",
    );
    assert_eq!(
        String::from_utf8(policy.unwrap()).unwrap(),
        "origin wss://*.a.example\nmax-message 4194304\nconnections 16\ntimeout 30000\nheader wss://b.a.example x-key: ***\n\
         conversations 256\n"
    );
}

#[test]
fn handshakes_that_fail() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel::<&[u8]>();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            let answer = told.recv().unwrap();
            let mut head = [0; 4096];
            assert!(tcp.read(&mut head).unwrap() > 0);
            tcp.write_all(answer).unwrap();
            if answer.is_empty() {
                // It never answers.
                while tcp.read(&mut head).is_ok_and(|count| count > 0) {}
            }
        }
    });
    let root = granted(address, ",timeout=200ms,connections=1");
    let mut agent = Conversation::begin(&root).unwrap();
    for (answer, errno) in [
        (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], Errno::Proto),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", Errno::Proto),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Errno::Proto),
        (b"", Errno::Timedout),
    ] {
        tell.send(answer).unwrap();
        let began = Instant::now();
        let outcome = agent.tell(&format!("connect ws://{address}/"));
        assert_eq!(outcome, Err(errno), "{}", agent.text("error"));
        assert!(!answer.is_empty() || began.elapsed().as_millis() >= 200);
        assert_eq!(agent.text("status"), "Closed\n");
    }
    assert_eq!(agent.tell("connect ws://127.0.0.1:1/"), Err(Errno::Acces));
    let root = device("ws,origin=ws://127.0.0.1:1");
    let mut agent = Conversation::begin(&root).unwrap();
    assert_eq!(
        agent.tell("connect ws://127.0.0.1:1/"),
        Err(Errno::Connrefused)
    );
    // A sub-protocol that the server doesn't choose.
    let address = serve(echo);
    let mut agent = Conversation::begin(&granted(address, "")).unwrap();
    assert_eq!(
        agent.tell(&format!("connect ws://{address}/ none")),
        Err(Errno::Proto)
    );
}

#[test]
fn a_handshake_without_end_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (left, leaves) = mpsc::channel();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            // Who speaks before it was asked is no server at all.
            assert!(tcp.read(&mut [0; 4096]).unwrap() > 0);
            let answers = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
            let mut sent = 0;
            while tcp.write_all(&answers).is_ok() {
                sent += answers.len();
            }
            left.send(sent).unwrap();
        }
    });
    // By what came, not because time was up, and as often as somebody asks.
    let root = granted(address, ",timeout=60s,connections=1");
    let mut agent = Conversation::begin(&root).unwrap();
    for _ in 0..3 {
        let outcome = agent.tell(&format!("connect ws://{address}/"));
        assert_eq!(outcome, Err(Errno::Proto), "{}", agent.text("error"));
        assert!(
            agent.text("error").contains("bytes of a handshake"),
            "{}",
            agent.text("error")
        );
        assert_eq!(agent.text("status"), "Closed\n");
        leaves.recv().unwrap();
    }
}

#[test]
fn messages_over_their_limit() {
    let address = serve(|mut connection| {
        let Ok(Message::Text(length)) = connection.read() else {
            return;
        };
        connection
            .send(Message::binary(vec![1; length.parse().unwrap()]))
            .unwrap();
        // What the client says of it.
        let said = loop {
            match connection.read() {
                Ok(Message::Close(frame)) => break frame.map_or(0, |frame| frame.code.into()),
                Ok(_) => {}
                Err(_) => break 0,
            }
        };
        assert_eq!(said, 1009);
    });
    let root = granted(address, ",max-message=1000");
    let (agent, mut data) = connected(&root, address);
    assert_eq!(send(&mut *data, &[b'x'; 1_001]), Err(Errno::Msgsize));
    assert_eq!(agent.text("error"), "a message may have 1000 bytes\n");
    send(&mut *data, b"1001").unwrap();
    assert_eq!(read_at(&mut *data, 0, 9_999), Err(Errno::Msgsize));
    assert!(agent.text("status").starts_with("Hangup 1006"));
    let (_agent, mut data) = connected(&root, address);
    send(&mut *data, b"1000").unwrap();
    assert_eq!(read_at(&mut *data, 0, 9_999).unwrap().len(), 1_000);
}

#[test]
fn who_waits_for_whom() {
    // The server sends as much as is taken, and says how much that was.
    let (sent, count_sent) = mpsc::channel();
    let address = serve(move |mut connection| {
        connection
            .get_ref()
            .set_write_timeout(Some(std::time::Duration::from_millis(300)))
            .unwrap();
        let mut count = 0;
        while count < 2_000 && connection.send(Message::binary(vec![1; 50_000])).is_ok() {
            count += 1;
        }
        sent.send(count).unwrap();
        while connection.read().is_ok() {}
    });
    let root = granted(address, "");
    let (_agent, mut data) = connected(&root, address);
    // Nothing is read: 100 MB don't arrive. What is kept by both systems is some megabytes.
    let count = count_sent.recv().unwrap();
    assert!(count < 1_000, "{count} messages of 50,000 bytes were taken");
    assert_eq!(read_at(&mut *data, 0, 99_999).unwrap().len(), 50_000);

    // The agent waits while the server doesn't read.
    let (go, goes) = mpsc::channel();
    let goes = std::sync::Arc::new(std::sync::Mutex::new(goes));
    let address = serve(move |mut connection| {
        goes.lock().unwrap().recv().unwrap();
        let mut count = 0;
        while let Ok(message) = connection.read() {
            if message.is_binary() {
                count += 1;
                if count == 1_000 {
                    connection.send(Message::text("all")).unwrap();
                }
            }
        }
    });
    let root = granted(address, "");
    let (mut agent, mut data) = connected(&root, address);
    agent.tell("binary").unwrap();
    let mut taken = 0;
    loop {
        let mut waiting = false;
        let message = vec![1; 50_000];
        let written =
            wait(
                |context| match data.poll_write(context, WriteAt::End, &mut &message[..]) {
                    std::task::Poll::Pending => {
                        waiting = true;
                        std::task::Poll::Ready(Ok(capfs::Written { bytes: 0, end: 0 }))
                    }
                    ready => ready,
                },
            );
        // It may wait for a moment only: what both systems keep is filled, too, before it is for long.
        if waiting {
            let ready = wait_briefly(&mut *data);
            if !ready {
                break;
            }
            continue;
        }
        written.unwrap();
        taken += 1;
        assert!(taken < 1_000, "all was taken, and nobody has read");
    }
    go.send(()).unwrap();
    while taken < 1_000 {
        send(&mut *data, &vec![1; 50_000]).unwrap();
        taken += 1;
    }
    assert_eq!(read_at(&mut *data, 0, 9).unwrap(), b"all");
}

/// Whether there is room to write within a short time.
fn wait_briefly(data: &mut dyn OpenFile) -> bool {
    let (tell, told) = mpsc::channel();
    struct Tell(mpsc::Sender<()>);
    impl std::task::Wake for Tell {
        fn wake(self: std::sync::Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let waker = std::sync::Arc::new(Tell(tell)).into();
    let mut context = std::task::Context::from_waker(&waker);
    if data.poll_ready(&mut context, Interest::Write).is_ready() {
        return true;
    }
    told.recv_timeout(std::time::Duration::from_millis(200))
        .is_ok()
}

#[test]
fn pings_are_answered_while_the_agent_does_something_else() {
    let (ponged, pongs) = mpsc::channel();
    let address = serve(move |mut connection| {
        connection
            .send(Message::Ping("are you there".into()))
            .unwrap();
        while let Ok(message) = connection.read() {
            if let Message::Pong(bytes) = message {
                ponged.send(bytes).unwrap();
            }
        }
    });
    let root = granted(address, "");
    let (_agent, _data) = connected(&root, address);
    assert_eq!(pongs.recv().unwrap(), "are you there");
}

#[test]
fn thousands_of_messages() {
    let address = serve(echo);
    let root = granted(address, "");
    let (_agent, mut data) = connected(&root, address);
    // A thousand at once, and then one for each that comes back.
    for number in 0..1_000u32 {
        send(&mut *data, number.to_string().as_bytes()).unwrap();
    }
    for number in 0..20_000u32 {
        assert_eq!(
            read_at(&mut *data, 0, 99).unwrap(),
            number.to_string().as_bytes()
        );
        send(&mut *data, (number + 1_000).to_string().as_bytes()).unwrap();
    }
}

#[test]
fn limits_on_how_many() {
    let (ended, ends) = mpsc::channel();
    let address = serve(move |mut connection| {
        while connection.read().is_ok_and(|message| !message.is_close()) {}
        ended.send(()).unwrap();
    });
    let root = granted(address, ",connections=3");
    let mut agents = Vec::new();
    for _ in 0..10_000 {
        match Conversation::begin(&root) {
            Ok(agent) => agents.push(agent),
            Err(errno) => assert_eq!(errno, Errno::Mfile),
        }
    }
    assert_eq!(agents.len(), 256);
    for (place, agent) in agents.iter_mut().enumerate().take(4) {
        let outcome = agent.tell(&format!("connect ws://{address}/"));
        assert_eq!(outcome, if place < 3 { Ok(()) } else { Err(Errno::Mfile) });
    }
    // What ends makes room; and each connection is closed when its conversation ends.
    agents.remove(0);
    ends.recv().unwrap();
    agents[2].tell(&format!("connect ws://{address}/")).unwrap();
    drop(agents);
    for _ in 0..3 {
        ends.recv().unwrap();
    }
    let names = capfs::testkit::names_in(&root).unwrap();
    assert_eq!(names, ["clone", "new", "policy"]);
}

#[test]
fn waiting_for_several() {
    let address = serve(|mut connection| {
        while let Ok(message) = connection.read() {
            if message.is_text() {
                connection.send(message).unwrap();
            }
        }
    });
    let root = granted(address, "");
    let (mut agent, mut data) = connected(&root, address);
    let readable =
        |data: &mut dyn OpenFile| wait(|context| data.poll_ready(context, Interest::Read)).unwrap();
    send(&mut *data, b"ready").unwrap();
    assert_eq!(readable(&mut *data).bytes, 5);
    read_at(&mut *data, 0, 2).unwrap();
    assert_eq!(readable(&mut *data).bytes, 3);
    read_at(&mut *data, 0, 9).unwrap();
    agent.tell("hangup").unwrap();
    assert!(readable(&mut *data).hangup);
    // A reader on another thread is woken by what comes, and by the end of the conversation.
    let (mut agent, mut data) = connected(&root, address);
    let mut other = agent.open("data", READ).unwrap();
    let reading = thread::spawn(move || read_at(&mut *other, 0, 9));
    send(&mut *data, b"to him").unwrap();
    assert_eq!(reading.join().unwrap().unwrap(), b"to him");
    let mut other = agent.open("data", READ).unwrap();
    let reading = thread::spawn(move || read_at(&mut *other, 0, 9));
    agent.tell("close").unwrap();
    assert!(matches!(
        reading.join().unwrap(),
        Ok(_) | Err(Errno::Notconn)
    ));
}
