//! What the tests of the network share: agents' calls on a device, and servers on loopback that do what a test says.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(missing_docs, reason = "tests")]

pub mod authority;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use capfs::testkit::{READ, READ_WRITE, now, read_at, walk, write_at};
use capfs::{Errno, NodeRef, OpenFile, OpenHow, WriteAt};
use capfs_devices::grant::Grant;
use capfs_native_devices::Host;

pub const WRITE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: false,
};

/// A device on this machine.
pub fn device(flag: &str) -> NodeRef {
    Host::default().device(&grant(flag)).unwrap()
}

pub fn grant(flag: &str) -> Grant {
    Grant::from_flag(flag).unwrap()
}

/// A conversation that lasts as long as this does.
pub struct Conversation {
    pub root: NodeRef,
    pub ctl: Box<dyn OpenFile>,
    pub number: String,
}

impl Conversation {
    pub fn begin(root: &NodeRef) -> Result<Conversation, Errno> {
        let mut ctl = now(walk(root, "clone")?.open(READ_WRITE))?;
        let number = String::from_utf8(read_at(&mut *ctl, 0, 20)?).unwrap();
        Ok(Conversation {
            root: root.clone(),
            ctl,
            number: number.trim().to_owned(),
        })
    }

    pub fn tell(&mut self, command: &str) -> Result<(), Errno> {
        write_at(
            &mut *self.ctl,
            WriteAt::End,
            format!("{command}\n").as_bytes(),
        )
        .map(|_| ())
    }

    pub fn open(&self, file: &str, how: OpenHow) -> Result<Box<dyn OpenFile>, Errno> {
        now(walk(&self.root, &format!("{}/{file}", self.number))?.open(how))
    }

    /// A file's text.
    pub fn text(&self, file: &str) -> String {
        let mut open = self.open(file, READ).unwrap();
        String::from_utf8(all(&mut *open).unwrap()).unwrap()
    }

    pub fn body(&self) -> Result<Vec<u8>, Errno> {
        all(&mut *self.open("body", READ)?)
    }

    /// Asks for a URL and returns the whole body.
    pub fn get(&mut self, url: &str) -> Result<Vec<u8>, Errno> {
        self.tell(&format!("url {url}"))?;
        self.body()
    }

    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Errno> {
        let mut open = self.open(file, WRITE)?;
        write_all(&mut *open, bytes)
    }
}

pub fn write_all(file: &mut dyn OpenFile, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let count = write_at(file, WriteAt::End, bytes)?.bytes;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Everything that is left of a file.
pub fn all(file: &mut dyn OpenFile) -> Result<Vec<u8>, Errno> {
    let mut whole = Vec::new();
    loop {
        let part = read_at(file, whole.len() as u64, 64 << 10)?;
        if part.is_empty() {
            return Ok(whole);
        }
        whole.extend(part);
    }
}

/// The head of a request, and the connection that it came by.
pub struct Call {
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub connection: BufReader<TcpStream>,
}

impl Call {
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Reads the body: by its length, or in chunks.
    pub fn body(&mut self) -> Vec<u8> {
        if let Some(length) = self.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.connection.read_exact(&mut body).unwrap();
            return body;
        }
        let mut body = Vec::new();
        if self.header("transfer-encoding") != Some("chunked") {
            return body;
        }
        loop {
            let mut line = String::new();
            self.connection.read_line(&mut line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.connection.read_exact(&mut chunk).unwrap();
            if length == 0 {
                return body;
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // The client may have gone away, which is what some tests are about.
        let _ = self.connection.get_mut().write_all(bytes);
    }

    /// Answers with a body whose length is told.
    pub fn answer(&mut self, status: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
        self.send(head.as_bytes());
        self.send(body);
    }

    /// Waits until the other side has closed the connection.
    pub fn wait_for_close(&mut self) {
        let mut rest = [0; 64];
        while self.connection.read(&mut rest).is_ok_and(|count| count > 0) {}
    }
}

/// A server that hands each request to a function, one thread a connection.
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(handler: impl Fn(&mut Call) + Send + Sync + 'static) -> Server {
        Server::start_at("127.0.0.1:0", handler)
    }

    pub fn start_at(at: &str, handler: impl Fn(&mut Call) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(at).unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let handler = Arc::new(handler);
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                connection.set_nodelay(true).unwrap();
                let (handler, requests) = (handler.clone(), requests.clone());
                thread::spawn(move || {
                    let mut connection = BufReader::new(connection);
                    while let Some((line, headers)) = head(&mut connection) {
                        requests.fetch_add(1, Ordering::SeqCst);
                        let mut call = Call {
                            line,
                            headers,
                            connection,
                        };
                        handler(&mut call);
                        connection = call.connection;
                    }
                });
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A device that may ask this server.
    pub fn device(&self, terms: &str) -> NodeRef {
        device(&format!("fetch,origin=http://{}{terms}", self.address))
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

type Head = (String, Vec<(String, String)>);

fn head(connection: &mut BufReader<TcpStream>) -> Option<Head> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        connection
            .read_line(&mut line)
            .ok()
            .filter(|count| *count > 0)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let first = lines.next()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some((first, headers.collect()))
}
