//! A conversation with a device: the numbered directory that opening its `clone` makes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};

use crate::{Failure, Result, Said};

/// A conversation. It lives as long as this value: the device ends it when its descriptor is closed.
pub struct Conversation {
    ctl: File,
    dir: String,
}

impl Conversation {
    /// Opens one below a device, such as `/cap/fetch`.
    ///
    /// # Errors
    /// What opening and reading `clone` say; `ENOENT` where the capability was not granted.
    pub fn open(device: &str) -> Result<Conversation> {
        let clone = format!("{device}/clone");
        let mut ctl = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&clone)
            .said(&clone)?;
        // The number and a newline: a short text comes in one read.
        let mut number = [0; 32];
        let length = ctl.read(&mut number).said(&clone)?;
        let number = std::str::from_utf8(&number[..length])
            .ok()
            .map(str::trim)
            .filter(|number| !number.is_empty())
            .ok_or_else(|| Failure::new(&clone, "it has no number"))?;
        let dir = format!("{device}/{number}");
        Ok(Conversation { ctl, dir })
    }

    /// Gives a command, without its newline.
    ///
    /// # Errors
    /// The errno of the write, with the text of the conversation's `error`.
    pub fn command(&mut self, line: &str) -> Result<()> {
        // In one write: it fails when the command does.
        let written = self.ctl.write_all(format!("{line}\n").as_bytes());
        self.explained(written.said(self.path("ctl")))
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    /// Opens one of its files to be read.
    ///
    /// # Errors
    /// The errno of opening it, with the text of `error`.
    pub fn open_file(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        self.explained(File::open(&path).said(&path))
    }

    /// Opens one of its files to be read and written.
    ///
    /// # Errors
    /// The errno of opening it, with the text of `error`.
    pub fn open_both(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        self.explained(opened.said(&path))
    }

    /// The text of one of its files, without white space around it.
    ///
    /// # Errors
    /// The errno of reading it, with the text of `error`.
    pub fn text(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        let text = self.explained(fs::read_to_string(&path).said(&path))?;
        Ok(text.trim().to_owned())
    }

    /// Writes a question and reads the whole answer, on one descriptor.
    ///
    /// # Errors
    /// The errno of any of it, with the text of `error`.
    pub fn ask(&self, name: &str, question: &[u8]) -> Result<Vec<u8>> {
        let path = self.path(name);
        let mut file = self.open_both(name)?;
        let mut answer = Vec::new();
        let asked = file
            .write_all(question)
            .and_then(|()| file.read_to_end(&mut answer));
        self.explained(asked.said(&path))?;
        Ok(answer)
    }

    /// An outcome with the device's words in its failure.
    ///
    /// # Errors
    /// The failure that was passed.
    pub fn explained<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|mut failure| {
            let words = fs::read_to_string(self.path("error")).unwrap_or_default();
            let words = words.trim();
            if failure.detail.is_none() && !words.is_empty() {
                failure.detail = Some(words.to_owned());
            }
            failure
        })
    }
}
