//! A feed reader. It asks by `/cap/fetch`, keeps what it got in the stored files of `/cap/storage/opfs` or in any folder,
//! and shows it in the terminal, or on the page where `/cap/dom` is. What a feed says is text to it, never markup.
#![forbid(unsafe_code)]

mod dates;
mod page;
mod parse;
mod store;
mod text;
mod update;

use std::io::{self, Write};
use std::process::ExitCode;

use cap::{Failure, Result, Said};
use store::{Store, Subscription};

const USAGE: &str = "\
usage: feeds [--in DIR] COMMAND
  add URL…      subscribes, and fetches
  remove URL    forgets the feed
  list          the subscriptions
  update        asks every feed for what is new
  read URL…     subscribes, fetches and shows
  show [URL]    the entries that are kept, the newest first
  page [URL…]   subscribes, and shows all on the page below /cap/dom, until the page is gone
Feeds are kept in DIR: /cap/storage/opfs where that is, / otherwise.";

/// What it is told to do.
enum Command<'a> {
    Add(&'a [&'a str]),
    Remove(&'a str),
    List,
    Update,
    Read(&'a [&'a str]),
    Show(Option<&'a str>),
    Page(&'a [&'a str]),
}

impl<'a> Command<'a> {
    fn of(words: &'a [&'a str]) -> Option<Command<'a>> {
        Some(match words {
            ["add", urls @ ..] if !urls.is_empty() => Command::Add(urls),
            ["remove", url] => Command::Remove(url),
            ["list"] => Command::List,
            [] | ["update"] => Command::Update,
            ["read", urls @ ..] if !urls.is_empty() => Command::Read(urls),
            ["show"] => Command::Show(None),
            ["show", url] => Command::Show(Some(url)),
            ["page", urls @ ..] => Command::Page(urls),
            _ => return None,
        })
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (dir, command) = match args[..] {
        ["--in", dir, ref command @ ..] => (Some(dir), command),
        ref command => (None, command),
    };
    match run(dir, command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: Option<&str>, words: &[&str]) -> Result<ExitCode> {
    if let ["-h" | "--help", ..] = words {
        writeln!(io::stdout(), "{USAGE}").said("output")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is opened: how it is used is to be known where nothing is granted, too.
    let command = Command::of(words).ok_or_else(|| Failure::new("feeds", USAGE))?;
    let store = Store::open(dir)?;
    let mut failed = false;
    match command {
        Command::Add(urls) => {
            for url in urls {
                store.add(url)?;
                failed |= !told(&store.subscription(url));
            }
        }
        Command::Read(urls) => {
            for url in urls {
                store.add(url)?;
                let feed = store.subscription(url);
                match told(&feed) {
                    true => show(&feed)?,
                    false => failed = true,
                }
            }
        }
        Command::Remove(url) => store.remove(url)?,
        Command::List => {
            for feed in store.subscriptions()? {
                println!("{}", text::plain(&feed.url));
            }
        }
        Command::Update => {
            for feed in store.subscriptions()? {
                failed |= !told(&feed);
            }
        }
        Command::Show(None) => {
            for feed in store.subscriptions()? {
                show(&feed)?;
            }
        }
        Command::Show(Some(url)) => show(&store.subscription(url))?,
        Command::Page(urls) => {
            for url in urls {
                store.add(url)?;
            }
            page::keep(&store)?;
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// Updates a feed and tells the outcome; whether it went well. One feed that fails keeps no other from being asked.
fn told(feed: &Subscription) -> bool {
    match update::update(feed) {
        Ok(outcome) => {
            println!("{}: {outcome}", text::plain(&feed.url));
            true
        }
        Err(failure) => {
            eprintln!("{failure}");
            false
        }
    }
}

fn show(feed: &Subscription) -> Result<()> {
    let content = feed.content()?;
    let mut out = io::stdout().lock();
    let mut print = |line: &str| writeln!(out, "{line}").said("output");
    print(&format!(
        "== {} ({})",
        content.title,
        text::plain(&feed.url)
    ))?;
    for entry in &content.entries {
        let date = entry
            .time
            .map_or_else(|| "    -     ".to_owned(), dates::day);
        print(&format!("{date}  {}", entry.title))?;
        for line in [&entry.link, &entry.summary].into_iter().flatten() {
            print(&format!("            {line}"))?;
        }
    }
    Ok(())
}
