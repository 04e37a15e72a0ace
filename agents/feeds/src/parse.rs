//! RSS 2.0 ([specification](https://www.rssboard.org/rss-specification)) and Atom
//! ([RFC 4287](https://www.rfc-editor.org/rfc/rfc4287)), as much of them as a reader shows.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::{dates, text};

/// Entries that are kept of one feed, the first that it has.
pub const ENTRIES_MAX: usize = 500;

/// Elements in each other; a feed has fewer than ten.
const DEPTH_MAX: usize = 64;

/// Bytes of text that are taken of one element.
const TEXT_MAX: usize = 64 << 10;

/// A feed, as text that can be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Its title.
    pub title: String,
    /// The newest first; those without a time behind, in the feed's order.
    pub entries: Vec<Entry>,
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What tells it from others: its id, or else its link, or else its title.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its address, `http` or `https`.
    pub link: Option<String>,
    /// When it was published or changed, in seconds since 1970.
    pub time: Option<i64>,
    /// Its beginning, or what its author says of it.
    pub summary: Option<String>,
}

/// Reads a feed.
///
/// # Errors
/// A sentence: what isn't XML, what is no feed.
pub fn parse(bytes: &[u8]) -> Result<Feed, String> {
    let source = decode(bytes)?;
    let mut reader = Reader::from_str(&source);
    let mut parser = Parser::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => parser.start(&tag)?,
            Ok(Event::Empty(tag)) => {
                parser.start(&tag)?;
                parser.end();
            }
            Ok(Event::End(_)) => parser.end(),
            Ok(Event::Text(part)) => parser.text(&part.xml10_content()),
            Ok(Event::CData(part)) => parser.text(&part.xml10_content()),
            Ok(Event::GeneralRef(name)) => match text::reference_named(&name) {
                Some(character) => parser.text(character.encode_utf8(&mut [0; 4])),
                None => parser.text(&format!("&{};", &*name)),
            },
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) => {
                return Err(format!(
                    "it is not well-formed: {}",
                    text::plain(&error.to_string())
                ));
            }
        }
    }
    parser.finish()
}

/// The text of a document in UTF-8 or Latin-1, the two that feeds are written in.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).to_ascii_lowercase();
    let declaration = head.split("?>").next().unwrap_or_default();
    if ["iso-8859-1", "windows-1252"]
        .iter()
        .any(|name| declaration.contains(name))
    {
        return Ok(bytes.iter().map(|byte| char::from(*byte)).collect());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err("it is neither UTF-8 nor Latin-1".to_owned()),
    }
}

#[derive(Default)]
struct Parser {
    /// Names of the open elements, with their prefixes.
    open: Vec<String>,
    text: String,
    seen_root: bool,
    title: String,
    entries: Vec<Entry>,
    /// The entry that is being read, and the depth of its element.
    entry: Option<(usize, Entry)>,
}

impl Parser {
    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let name = tag.name().as_ref().to_owned();
        if self.open.is_empty() {
            let root = tag.local_name();
            if !["rss", "feed", "RDF"].contains(&root.as_ref()) {
                return Err(format!(
                    "it is no feed: it begins with <{}>",
                    text::plain(&name)
                ));
            }
            self.seen_root = true;
        }
        if self.open.len() >= DEPTH_MAX {
            return Err("its elements are nested too deep".to_owned());
        }
        if (name == "item" || name == "entry") && self.entry.is_none() {
            self.entry = Some((self.open.len(), Entry::default()));
        }
        // Markup within the text of an element, as Atom's XHTML has, is part of that text.
        if self.field_open().is_none() {
            self.text.clear();
        } else {
            self.text.push(' ');
        }
        if name == "link"
            && let Some((depth, entry)) = &mut self.entry
            && self.open.len() == *depth + 1
        {
            let value = |key: &str| {
                let found = tag.try_get_attribute(key).ok().flatten()?;
                Some(
                    found
                        .normalized_value(XmlVersion::Implicit1_0)
                        .ok()?
                        .into_owned(),
                )
            };
            let alternate = value("rel").is_none_or(|rel| rel == "alternate");
            if alternate && let Some(href) = value("href") {
                entry.link = entry.link.take().or_else(|| web_address(&href));
            }
        }
        self.open.push(name);
        Ok(())
    }

    /// The field whose element is open, or has an element in it that is.
    fn field_open(&self) -> Option<&str> {
        let depth = self.entry.as_ref()?.0;
        self.open.get(depth + 1).map(String::as_str)
    }

    fn text(&mut self, part: &str) {
        let left = TEXT_MAX.saturating_sub(self.text.len());
        let end = (0..=left.min(part.len()))
            .rev()
            .find(|end| part.is_char_boundary(*end));
        self.text.push_str(&part[..end.unwrap_or(0)]);
    }

    fn end(&mut self) {
        let Some(name) = self.open.pop() else { return };
        let depth = self.open.len();
        let Some((entry_depth, entry)) = &mut self.entry else {
            // The title of the feed itself, not that of an image in it.
            let parent = self.open.last().map(String::as_str);
            if name == "title"
                && matches!(parent, Some("channel" | "feed"))
                && self.title.is_empty()
            {
                self.title = text::from_html(&self.text);
            }
            return;
        };
        if depth == *entry_depth {
            let (_, entry) = self.entry.take().unwrap_or_default();
            if self.entries.len() < ENTRIES_MAX {
                self.entries.push(entry);
            }
            return;
        }
        if depth > *entry_depth + 1 {
            return;
        }
        let text = std::mem::take(&mut self.text);
        match name.as_str() {
            "title" => entry.title = text::from_html(&text),
            "link" => entry.link = entry.link.take().or_else(|| web_address(&text)),
            "id" | "guid" => entry.id = text::plain(&text),
            "pubDate" | "dc:date" | "updated" | "published" => {
                entry.time = dates::parse(&text).max(entry.time);
            }
            "description" | "summary" => entry.summary = Some(text::from_html(&text)),
            "content:encoded" | "content" if entry.summary.is_none() => {
                entry.summary = Some(text::from_html(&text));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Result<Feed, String> {
        if !self.seen_root {
            return Err("it is empty".to_owned());
        }
        if !self.open.is_empty() {
            return Err("it is cut off".to_owned());
        }
        for entry in &mut self.entries {
            if entry.title.is_empty() {
                entry.title = "(without a title)".to_owned();
            }
            if entry.id.is_empty() {
                entry.id = entry.link.clone().unwrap_or_else(|| entry.title.clone());
            }
            entry.summary.take_if(|summary| summary.is_empty());
        }
        // Stable: entries of one time stay in the feed's order.
        self.entries
            .sort_by_key(|entry| std::cmp::Reverse(entry.time));
        let title = if self.title.is_empty() {
            "(without a title)".to_owned()
        } else {
            self.title
        };
        Ok(Feed {
            title,
            entries: self.entries,
        })
    }
}

/// An address that a reader may follow: nothing but `http` and `https`.
fn web_address(text: &str) -> Option<String> {
    let address = text.trim();
    let web = ["https://", "http://"]
        .iter()
        .any(|scheme| address.starts_with(scheme));
    (web && !address.contains(|c: char| c.is_control() || c.is_whitespace()))
        .then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSS: &str = r#"<?xml version="1.0"?><rss version="2.0"><channel><title>News &amp; more</title>
        <image><title>not this</title></image>
        <item><title>Old</title><link>https://a.example/1</link><pubDate>Thu, 01 Jan 2026 00:00:00 GMT</pubDate></item>
        <item><title><![CDATA[New <b>and</b> bold]]></title><link>javascript:alert(1)</link><guid>g2</guid>
        <pubDate>Fri, 02 Jan 2026 00:00:00 GMT</pubDate><description>&lt;p&gt;Text &amp;amp; more&lt;/p&gt;</description></item>
        </channel></rss>"#;

    #[test]
    fn rss() {
        let feed = parse(RSS.as_bytes()).unwrap();
        assert_eq!(feed.title, "News & more");
        let [new, old] = &feed.entries[..] else {
            panic!("{feed:?}")
        };
        assert_eq!(
            (&*new.title, &new.link, &*new.id),
            ("New and bold", &None, "g2")
        );
        assert_eq!(new.summary.as_deref(), Some("Text & more"));
        assert_eq!((&*old.title, &*old.id), ("Old", "https://a.example/1"));
    }

    #[test]
    fn atom() {
        let feed = parse(
            br#"<feed xmlns="http://www.w3.org/2005/Atom"><title type="html">A &amp;lt; B</title>
            <entry><title>One</title><id>urn:1</id><link rel="edit" href="https://a.example/edit"/><link href="https://a.example/one?a&amp;b"/>
            <updated>2026-01-31T09:05:00Z</updated><published>2026-01-01T00:00:00Z</published>
            <content type="xhtml"><div>Some <em>words</em> here</div></content></entry></feed>"#,
        )
        .unwrap();
        assert_eq!(feed.title, "A < B");
        let entry = &feed.entries[0];
        assert_eq!(entry.link.as_deref(), Some("https://a.example/one?a&b"));
        assert_eq!(
            (entry.time, entry.summary.as_deref()),
            (Some(1_769_850_300), Some("Some words here"))
        );
    }

    #[test]
    fn what_is_no_feed() {
        let deep = "<rss>".repeat(100);
        for bad in [
            "",
            "words",
            "<html></html>",
            "<rss><channel></rss>",
            "<rss><channel>",
            &deep,
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"<rss>\xff</rss>").is_err());
        assert!(parse(b"<?xml version='1.0' encoding='ISO-8859-1'?><rss>\xfc</rss>").is_ok());
        // Entities that are declared are not looked up, so none can grow.
        let feed = parse(
            b"<!DOCTYPE rss [<!ENTITY a 'bbbb'>]><rss><channel><title>&a;</title></channel></rss>",
        )
        .unwrap();
        assert_eq!(feed.title, "&a;");
    }
}
