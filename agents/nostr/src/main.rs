//! A Nostr client: it posts and reads short text notes. It talks to relays by `/cap/ws`; keys are kept, and signatures made and
//! verified, by `/cap/crypto`, so that it never holds a secret.
#![forbid(unsafe_code)]

mod event;
mod hex;
mod keys;
mod names;
mod options;
mod read;
mod relay;

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use cap::{Failure, Result, Said, seconds_now};
use event::{Event, TEXT_NOTE, Unsigned};
use keys::Key;
use options::{Author, Options};
use read::{Reader, Wanted, show};
use relay::{Message, Received, Relay};

/// Bytes of a note, at most. Relays take about as much.
const CONTENT_MAX: usize = 64 << 10;

const HELP: &str = "\
usage: nostr COMMAND [OPTION]…
  key                       shows your public key; makes a key where there is none
  key delete                forgets your key, for good
  post --relay URL [TEXT]…  signs a note and publishes it; without a text, the input is it
  read --relay URL          shows the last notes, the oldest first
  follow --relay URL        shows notes as they come, until it is interrupted
options
  --relay URL               a relay, wss://…; repeated, except for follow
  --author KEY              whose notes: npub1…, hexadecimal, or me; repeated; everybody's unless told
  --limit N                 how many of those that a relay has; 20 unless told
  --key NAME                which of your keys; nostr unless told
  --timeout SECONDS         when a silent relay is given up; 10 unless told, for follow never
  --json                    shows events as they are
Everything that is shown was verified. It needs /cap/ws for the relays and /cap/crypto for keys and signatures:
  --grant ws,origin=wss://relay.example --grant crypto, and natively --state DIR to keep the key in
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        let written = io::stdout().write_all(HELP.as_bytes());
        return ExitCode::from(u8::from(written.is_err()));
    }
    let misused = |words: &str| {
        eprintln!("error: {words}; `nostr --help` tells more");
        ExitCode::from(2)
    };
    let Some((command, rest)) = args.split_first() else {
        return misused("expected a command");
    };
    let options = match Options::parse(rest) {
        Ok(options) => options,
        Err(words) => return misused(&words),
    };
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let done = match (command.as_str(), &words[..], options.relays.len()) {
        ("key", [], 0) => show_key(&options),
        ("key", ["delete"], 0) => delete_key(&options),
        ("post", _, 1..) => post(&options),
        ("read", [], 1..) => read(&options),
        ("follow", [], 1) => follow(&options),
        ("post" | "read" | "follow", _, 0) => return misused("expected --relay URL"),
        ("follow", [], _) => return misused("one relay can be followed"),
        ("key" | "read" | "follow", ..) => {
            return misused(&format!("{command} does not take this"));
        }
        _ => return misused(&format!("there is no command {}", cap::plain(command))),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// One's own key, made where there is none yet.
fn own_key(options: &Options) -> Result<Key> {
    match Key::kept(options.key())? {
        Some(key) => Ok(key),
        None => Key::make(options.key()),
    }
}

fn show_key(options: &Options) -> Result<bool> {
    let key = own_key(options)?;
    let (name, digits) = (names::npub(&key.public), hex::encode(&key.public));
    writeln!(io::stdout(), "{name}\n{digits}").said("output")?;
    Ok(true)
}

fn delete_key(options: &Options) -> Result<bool> {
    let name = options.key();
    if Key::kept(name)?.is_none() {
        return Err(Failure::new(name, "there is no such key"));
    }
    let path = format!("/cap/crypto/key/by-name/{name}/ctl");
    let opened = OpenOptions::new().write(true).open(&path);
    opened
        .and_then(|mut ctl| ctl.write_all(b"delete\n"))
        .said(&path)?;
    Ok(true)
}

/// Signs a note and publishes it; whether all relays took it.
fn post(options: &Options) -> Result<bool> {
    let mut content = options.words.join(" ");
    if content.is_empty() {
        let mut input = io::stdin().take(CONTENT_MAX as u64 + 1);
        input.read_to_string(&mut content).said("input")?;
    }
    let content = content.trim_end();
    if content.is_empty() || content.len() > CONTENT_MAX {
        let words = format!("expected a text of 1 to {CONTENT_MAX} bytes");
        return Err(Failure::new("note", words));
    }
    let key = own_key(options)?;
    let event = key.sign(Unsigned {
        author: key.public,
        created: seconds_now().unsigned_abs(),
        kind: TEXT_NOTE,
        tags: Vec::new(),
        content: content.to_owned(),
    })?;
    if options.json {
        writeln!(io::stdout(), "{}", event.to_json()).said("output")?;
    } else {
        writeln!(io::stdout(), "{}", names::note(&event.id)).said("output")?;
    }
    let mut all = true;
    for url in &options.relays {
        match published(url, &event, options) {
            Ok(()) => writeln!(io::stderr(), "{url}: accepted").said("output")?,
            Err(failure) => {
                all = false;
                eprintln!("error: {failure}");
            }
        }
    }
    Ok(all)
}

/// Publishes an event on one relay and waits for its answer.
fn published(url: &str, event: &Event, options: &Options) -> Result<()> {
    let mut relay = Relay::connect(url)?;
    relay.publish(&event.to_json())?;
    let ours = hex::encode(&event.id);
    let refused = |words: String| Err(Failure::new(url, words));
    loop {
        let message = match relay.receive(Some(options.patience()))? {
            Received::Message(message) => message,
            Received::Silence => {
                let seconds = options.patience().as_secs();
                return refused(format!("it has said nothing for {seconds} s"));
            }
            Received::HungUp(how) => return refused(format!("{how} without an answer")),
        };
        match message {
            Message::Taken {
                id,
                accepted,
                words,
            } if id == ours => {
                if !accepted {
                    return refused(format!("it refuses: {words}"));
                }
                relay.end();
                return Ok(());
            }
            Message::Notice(words) => eprintln!("{url}: {words}"),
            _ => {}
        }
    }
}

/// What is asked for.
fn reader(options: &Options) -> Result<Reader> {
    keys::granted()?;
    let mut authors = Vec::new();
    for author in &options.authors {
        authors.push(match author {
            Author::Key(key) => *key,
            Author::Me => own_key(options)?.public,
        });
    }
    let limit = options.limit();
    Ok(Reader::new(Wanted { authors, limit }))
}

/// Shows what relays have; whether all of them sent it to the end.
fn read(options: &Options) -> Result<bool> {
    let mut reader = reader(options)?;
    let mut events = Vec::new();
    let mut all = true;
    for url in &options.relays {
        let asked = Relay::connect(url).and_then(|mut relay| {
            relay.subscribe(&reader.filter())?;
            let (stored, end) = reader.stored(&mut relay, url, options.patience())?;
            events.extend(stored);
            match end {
                None => relay.end(),
                Some(failure) => return Err(failure),
            }
            Ok(())
        });
        std::mem::take(&mut reader.refused).tell(url);
        if let Err(failure) = asked {
            all = false;
            eprintln!("error: {failure}");
        }
    }
    events.sort_by_key(Event::age);
    let older = events.len().saturating_sub(options.limit());
    let mut out = io::stdout().lock();
    for event in &events[older..] {
        show(event, options.json, &mut out)?;
    }
    out.flush().said("output")?;
    Ok(all)
}

/// Shows notes as they come. Ends where the relay does, or was silent for as long as told.
fn follow(options: &Options) -> Result<bool> {
    let mut reader = reader(options)?;
    let url = &options.relays[0];
    let mut relay = Relay::connect(url)?;
    relay.subscribe(&reader.filter())?;
    let mut out = io::stdout().lock();
    let (stored, broken) = reader.stored(&mut relay, url, options.patience())?;
    std::mem::take(&mut reader.refused).tell(url);
    for event in &stored {
        show(event, options.json, &mut out)?;
    }
    out.flush().said("output")?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    let end = loop {
        let message = match relay.receive(options.timeout)? {
            Received::Message(message) => message,
            Received::Silence => break Ok(()),
            Received::HungUp(how) => break Err(how),
        };
        match message {
            Message::Event(value) => {
                if let Some(event) = reader.take(&value)? {
                    show(&event, options.json, &mut out)?;
                    out.flush().said("output")?;
                }
                std::mem::take(&mut reader.refused).tell(url);
            }
            Message::Closed(words) => break Err(format!("it refuses: {words}")),
            Message::Notice(words) => eprintln!("{url}: {words}"),
            Message::Stored | Message::Taken { .. } | Message::Other => {}
        }
    };
    match end {
        Ok(()) => {
            relay.end();
            Ok(true)
        }
        Err(words) => Err(Failure::new(url, words)),
    }
}
