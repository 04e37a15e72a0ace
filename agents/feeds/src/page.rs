//! Shows the feeds on a page, by the elements of `/cap/dom`. Text is set as text: no feed can bring markup onto the page.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};

use cap::{Result, Said};

use crate::parse::Entry;
use crate::store::Store;
use crate::{dates, text, update};

/// The part of the page that was granted.
const DOM: &str = "/cap/dom";

/// Entries that are shown of each feed.
const SHOWN: usize = 20;

/// An element by its number.
struct Element(String);

impl Element {
    /// A new one that is on no page yet.
    fn new(tag: &str) -> Result<Element> {
        let path = format!("{DOM}/new/{tag}");
        let number = fs::read_to_string(&path).said(&path)?;
        Ok(Element(number.trim().to_owned()))
    }

    fn with_text(tag: &str, text: &str) -> Result<Element> {
        let element = Element::new(tag)?;
        element.write("text", text)?;
        Ok(element)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = format!("{DOM}/{}/{file}", self.0);
        fs::write(&path, text).said(&path)
    }

    fn append(&self, child: &Element) -> Result<()> {
        self.write("ctl", &format!("append {}\n", child.0))
    }
}

/// Shows all feeds, and asks for what is new each time that the button is pressed, until the page is gone.
///
/// # Errors
/// What the page or the files refuse. A feed that fails is shown as such.
pub fn keep(store: &Store) -> Result<()> {
    let top = Element("1".to_owned());
    let button = Element::with_text("button", "Look for news")?;
    top.append(&button)?;
    button.write("ctl", "listen click\n")?;
    let path = format!("{DOM}/{}/event", button.0);
    let mut events = BufReader::new(File::open(&path).said(&path)?);
    loop {
        let shown = draw(store)?;
        top.append(&shown)?;
        println!("The page shows what is new. Its button looks again.");
        let mut event = String::new();
        match events.read_line(&mut event) {
            Ok(0) => return Ok(()),
            // The page went away: the end that this program has.
            Err(error)
                if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(29) =>
            {
                return Ok(());
            }
            read => read.said(&path)?,
        };
        shown.write("ctl", "delete\n")?;
    }
}

/// An element with all feeds, each asked for what is new first.
fn draw(store: &Store) -> Result<Element> {
    let all = Element::new("div")?;
    for feed in store.subscriptions()? {
        let outcome = match update::update(&feed) {
            Ok(outcome) => outcome.to_string(),
            Err(failure) => failure.to_string(),
        };
        let content = feed.content().ok();
        let title = content.as_ref().map_or(&feed.url, |content| &content.title);
        let section = Element::new("section")?;
        section.append(&Element::with_text("h1", title)?)?;
        let outcome = format!("{}: {}", feed.url, text::plain(&outcome));
        let line = Element::new("p")?;
        line.append(&Element::with_text("small", &outcome)?)?;
        section.append(&line)?;
        let entries = content.iter().flat_map(|content| &content.entries);
        for entry in entries.take(SHOWN) {
            section.append(&article(entry)?)?;
        }
        all.append(&section)?;
    }
    Ok(all)
}

fn article(entry: &Entry) -> Result<Element> {
    let article = Element::new("article")?;
    let heading = match &entry.link {
        Some(link) => {
            let anchor = Element::with_text("a", &entry.title)?;
            anchor.write("attrs", &format!("href {link}"))?;
            let heading = Element::new("h2")?;
            heading.append(&anchor)?;
            heading
        }
        None => Element::with_text("h2", &entry.title)?,
    };
    article.append(&heading)?;
    if let Some(day) = entry.time.map(dates::day) {
        article.append(&Element::with_text("time", &day)?)?;
    }
    if let Some(summary) = &entry.summary {
        article.append(&Element::with_text("p", summary)?)?;
    }
    Ok(article)
}
