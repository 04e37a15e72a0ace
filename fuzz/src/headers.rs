//! Headers, as agents write them and as servers answer. A header's value is bytes, a character for each, and no byte is lost or made
//! up on the way in either direction; nothing that one side writes ends up as more than one header, or under another name.
//!
//! An input is the head of an answer, whose lines are the commands of the request as well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use capfs::account::Account;
use capfs::testkit::{READ, READ_WRITE, names_in, now, read_at, walk, write_at};
use capfs::{BoxedFuture, Errno, GuestSink, Name, NodeRef, OpenFile, OpenHow, WriteAt};
use capfs_devices::address::Addresses;
use capfs_devices::fetch::host::{
    Abilities, Client, Failure, Host, Outside, Request, Response, ResponseBody,
};
use capfs_devices::fetch::{Fetch, RESPONSE_FIELDS_MAX, RESPONSE_HEADERS_MAX};
use capfs_devices::grant::Grant;
use capfs_devices::message::{
    SET_COOKIE, as_utf8, decoded, encoded, is_field_name, is_field_value, is_forbidden_header,
    trimmed,
};
use capfs_devices::url::Url;
use capfs_native_devices::net::{Net, Network};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "headers",
    about: "headers of requests and answers, bytes of any kind",
    run,
    seeds,
};

/// The server of all requests.
const SERVER: &str = "http://a.example/";

type Fields = Vec<(String, String)>;

/// Sends nothing, and answers what was prepared.
struct Prepared {
    net: Net,
    answer: (u16, Fields),
    sent: Mutex<Vec<Fields>>,
}

impl Outside for Prepared {
    fn parse(&self, text: &str, base: Option<&Url>) -> Option<Url> {
        self.net.parse(text, base)
    }

    fn spawn(&self, _future: BoxedFuture<()>) {
        unreachable!("whoever opens the body sends the request");
    }

    fn sleep(&self, _millis: u64) -> BoxedFuture<()> {
        Box::pin(std::future::pending())
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What the device asks of its host, shared with who looks at it afterwards.
struct Shared(Arc<Prepared>);

impl Outside for Shared {
    fn parse(&self, text: &str, base: Option<&Url>) -> Option<Url> {
        self.0.parse(text, base)
    }

    fn spawn(&self, future: BoxedFuture<()>) {
        self.0.spawn(future);
    }

    fn sleep(&self, millis: u64) -> BoxedFuture<()> {
        self.0.sleep(millis)
    }

    fn now(&self) -> u64 {
        self.0.now()
    }
}

impl Host for Shared {
    fn client(&self, _addresses: Arc<dyn Addresses>) -> Arc<dyn Client> {
        Arc::new(Shared(self.0.clone()))
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            sees_redirects: true,
            streams_requests: true,
        }
    }
}

impl Client for Shared {
    fn send(&self, request: Request) -> BoxedFuture<Result<Response, Failure>> {
        let mut sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(request.headers);
        // One answer, whatever is asked behind a redirect.
        let (status, headers) = match sent.len() {
            1 => self.0.answer.clone(),
            _ => (200, Fields::new()),
        };
        Box::pin(std::future::ready(Ok(Response {
            url: None,
            redirected: false,
            status,
            reason: String::new(),
            headers,
            body: Box::new(Empty),
        })))
    }
}

struct Empty;

impl ResponseBody for Empty {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Failure>> {
        Poll::Ready(Ok(0))
    }

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        Poll::Ready(Ok(0))
    }
}

/// The fields of a head that a client of HTTP lets through: names in lower case, no control characters.
fn fields(lines: &[&[u8]]) -> Fields {
    let field = |line: &&[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
        let value = decoded(&line[colon + 1..]);
        let value = trimmed(&value);
        (is_field_name(&name) && is_field_value(value)).then(|| (name, value.to_owned()))
    };
    lines.iter().filter_map(field).collect()
}

fn open(root: &NodeRef, path: &str, how: OpenHow) -> Result<Box<dyn OpenFile>, Errno> {
    now(walk(root, path)?.open(how))
}

fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').collect();
    let answer = fields(&lines);
    let status = [200, 301, 302, 303, 307, 404][usize::from(*first) % 6];
    let prepared = Arc::new(Prepared {
        net: Net(Network::default()),
        answer: (status, answer.clone()),
        sent: Mutex::default(),
    });
    let grant = Grant::from_flag("fetch,origin=*").expect("a grant");
    let host = Arc::new(Shared(prepared.clone()));
    let fetch = Fetch::new(host, &grant, &Account::unlimited()).expect("a device");
    let root = fetch.root();
    let mut ctl = open(&root, "clone", READ_WRITE).expect("a conversation");
    let mut tell = |command: &[u8]| write_at(&mut *ctl, WriteAt::End, command);
    tell(format!("url {SERVER}\n").as_bytes()).expect("a URL");
    let mut wanted = Fields::new();
    for line in &lines {
        if tell(&[b"header ", *line, b"\n"].concat()).is_ok() {
            wanted.extend(asked(line));
        }
    }
    let opened = open(&root, "1/body", READ);
    let sent = prepared
        .sent
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    assert_eq!(sent.first(), Some(&wanted), "what is sent is what was told");
    for (name, value) in sent.iter().flatten() {
        assert!(is_field_name(name) && *name == name.to_ascii_lowercase());
        assert!(!is_forbidden_header(name), "{name}");
        let bytes = encoded(value).expect("bytes");
        assert!(
            bytes
                .iter()
                .all(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f),
            "{value:?}"
        );
    }
    let size = |(name, value): &(String, String)| name.len() + value.len();
    let large = answer.len() > RESPONSE_FIELDS_MAX
        || answer.iter().map(size).sum::<usize>() > RESPONSE_HEADERS_MAX;
    match opened {
        Ok(_) => {
            assert!(!large, "over a limit");
            // Behind a redirect there is another answer.
            let last = if sent.len() == 1 {
                answer
            } else {
                Fields::new()
            };
            shown(&root, last);
        }
        Err(errno) if large => assert_eq!(errno, Errno::Msgsize),
        Err(_) => assert!((301..400).contains(&status), "{status}"),
    }
}

/// What a command that was taken asks for.
fn asked(line: &[u8]) -> Option<(String, String)> {
    let text = str::from_utf8(line).expect("text");
    let (name, value) = text.split_once(':').expect("a name");
    let value = trimmed(value).to_owned();
    Some((trimmed(name).to_ascii_lowercase(), value))
}

/// What the files say of an answer is what came.
fn shown(root: &NodeRef, answer: Fields) {
    let text = |path: &str| {
        let file = open(root, path, READ);
        let mut file = file.unwrap_or_else(|errno| panic!("{path:?}: {errno:?}"));
        let mut whole = Vec::new();
        loop {
            let part = read_at(&mut *file, whole.len() as u64, 64 << 10).expect("it is there");
            if part.is_empty() {
                return String::from_utf8(whole).expect("files are UTF-8");
            }
            whole.extend(part);
        }
    };
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in answer {
        by_name.entry(name).or_default().push(value);
    }
    let mut header = String::new();
    for (name, values) in &by_name {
        let lines = match &**name {
            SET_COOKIE => values.clone(),
            _ => vec![values.join(", ")],
        };
        for line in &lines {
            header.push_str(&format!("{name}: {line}\n"));
            // Of these bytes, and no others, where it is an address.
            let bytes = encoded(line).expect("bytes");
            let told = as_utf8(line);
            assert!(told.as_bytes() == bytes || told == *line, "{line:?}");
        }
        if Name::new(name).is_ok() {
            let expected = lines.join("\n");
            let file = text(&format!("1/headers/{name}"));
            assert_eq!(file.strip_suffix('\n').unwrap_or(&file), expected, "{name}");
        }
    }
    assert_eq!(text("1/header"), header);
    let listed = walk(root, "1/headers").and_then(|headers| names_in(&headers));
    let listed = listed.expect("a directory");
    let names: Vec<_> = by_name
        .keys()
        .filter(|name| Name::new(name).is_ok())
        .collect();
    assert_eq!(listed.iter().collect::<Vec<_>>(), names);
}

fn seeds() -> Vec<Vec<u8>> {
    let heads: [&[u8]; 5] = [
        b"\x00content-type: text/plain; charset=\"utf-8\"\nETag: \"a\"\netag: \"b\nset-cookie: a=1, b\nSet-Cookie: c=2\n",
        b"\x02location: /caf\xc3\xa9?gr%C3%BC\nx-note: \xe9\xff\x80 \xa0\nlocation: /caf\xc3\xa9?gr%C3%BC\n",
        "\u{1}Authorization: Bearer \u{a0}x\u{85}\naccept: */*\nhost: b.example\nx: \u{100}\n".as_bytes(),
        b"\x05..: up\n.: here\n-: dash\nx-empty:\nx-empty: \t \nTransfer-Encoding: chunked\r\nx: a\r\n",
        b"\x03x: one\r two\nx : two\n: three\nsec-x: 4\nproxy-x: 5\ncookie: 6\nreferer: 7\nX-A_B~C|D^E`F'G*H+I.J!K#L$M%N&O: 8\n",
    ];
    heads.map(<[u8]>::to_vec).into()
}
