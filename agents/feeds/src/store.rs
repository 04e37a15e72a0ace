//! The subscriptions, each in a directory of its own: `url`, the document as it came in `feed.xml`, and what the server gave to ask
//! for changes by, in `validators`. A file is written beside, synced and renamed, so that it is whole or the one before.

use std::fs;
use std::io::ErrorKind;

use cap::{Failure, Result, Said, replace};

use crate::parse::{Feed, parse};

/// Where feeds are kept unless told.
const STORED: &str = "/cap/storage/opfs";

/// Subscriptions at once.
const FEEDS_MAX: usize = 200;

/// The headers by which a server can be asked for changes. Nothing else that is in a file is sent.
const VALIDATORS: [&str; 2] = ["if-none-match", "if-modified-since"];

/// All subscriptions.
pub struct Store {
    dir: String,
}

/// One subscription.
pub struct Subscription {
    /// The address.
    pub url: String,
    dir: String,
}

impl Store {
    /// The store in a folder, or in the usual one.
    ///
    /// # Errors
    /// What making its directory says.
    pub fn open(folder: Option<&str>) -> Result<Store> {
        let usual = if fs::metadata(STORED).is_ok() {
            STORED
        } else {
            ""
        };
        let folder = folder.unwrap_or(usual).trim_end_matches('/');
        let dir = format!("{folder}/feeds");
        match fs::create_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).said(&dir),
            _ => Ok(Store { dir }),
        }
    }

    /// The subscription of an address, which may not be there yet.
    pub fn subscription(&self, url: &str) -> Subscription {
        Subscription {
            url: url.to_owned(),
            dir: format!("{}/{:016x}", self.dir, hash(url)),
        }
    }

    /// Subscribes.
    ///
    /// # Errors
    /// An address that isn't one; what the files say.
    pub fn add(&self, url: &str) -> Result<()> {
        let web = ["https://", "http://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !web || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Failure::new(
                url,
                "expected an address that begins with https:// or http://",
            ));
        }
        let feed = self.subscription(url);
        if fs::metadata(&feed.dir).is_err() {
            if self.subscriptions()?.len() >= FEEDS_MAX {
                return Err(Failure::new(
                    url,
                    format!("there are {FEEDS_MAX} feeds already"),
                ));
            }
            fs::create_dir(&feed.dir).said(&feed.dir)?;
        }
        feed.put("url", format!("{url}\n").as_bytes())
    }

    /// Forgets a feed.
    ///
    /// # Errors
    /// An address that isn't subscribed; what the files say.
    pub fn remove(&self, url: &str) -> Result<()> {
        let feed = self.subscription(url);
        if fs::metadata(&feed.dir).is_err() {
            return Err(Failure::new(url, "it is not subscribed"));
        }
        fs::remove_dir_all(&feed.dir).said(&feed.dir)
    }

    /// All subscriptions, by address.
    ///
    /// # Errors
    /// What the files say.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir).said(&self.dir)? {
            let entry = entry.said(&self.dir)?;
            let dir = format!("{}/{}", self.dir, entry.file_name().to_string_lossy());
            // Without an address it was made and not finished.
            if let Ok(url) = fs::read_to_string(format!("{dir}/url")) {
                let url = url.trim().to_owned();
                all.push(Subscription { url, dir });
            }
        }
        all.sort_by(|one, other| one.url.cmp(&other.url));
        Ok(all)
    }
}

impl Subscription {
    /// What was fetched last, as it came; `None` before the first time.
    ///
    /// # Errors
    /// What reading it says.
    pub fn document(&self) -> Result<Option<Vec<u8>>> {
        let path = format!("{}/feed.xml", self.dir);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).said(&path),
        }
    }

    /// What was fetched last, understood.
    ///
    /// # Errors
    /// A feed that was never fetched, or isn't one.
    pub fn content(&self) -> Result<Feed> {
        let document = self.document()?;
        let document =
            document.ok_or_else(|| Failure::new(&self.url, "it has not been fetched yet"))?;
        parse(&document).map_err(|words| Failure::new(&self.url, words))
    }

    /// The headers by which to ask whether it changed.
    pub fn validators(&self) -> Vec<String> {
        // Without a document there is nothing that could be unchanged.
        if !matches!(self.document(), Ok(Some(_))) {
            return Vec::new();
        }
        let text = fs::read_to_string(format!("{}/validators", self.dir)).unwrap_or_default();
        let known = |line: &&str| {
            let (name, _) = line.split_once(": ").unwrap_or_default();
            VALIDATORS.contains(&name)
        };
        text.lines().filter(known).map(str::to_owned).collect()
    }

    /// Keeps a document and its validators.
    ///
    /// # Errors
    /// What the files say.
    pub fn keep(&self, document: &[u8], validators: &[String]) -> Result<()> {
        // The old ones go first: with a new document they would hide its next change, without one they ask once too often.
        self.put("validators", b"")?;
        self.put("feed.xml", document)?;
        self.put("validators", validators.join("\n").as_bytes())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        replace(&format!("{}/{name}", self.dir), bytes)
    }
}

/// FNV-1a, for names of directories ([the authors' page](http://www.isthe.com/chongo/tech/comp/fnv/)).
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
