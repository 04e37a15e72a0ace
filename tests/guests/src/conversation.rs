//! What guests of `/cap` share: conversations with a device, by nothing but the standard library's files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

/// A conversation with a device. It lasts as long as this does.
pub struct Conversation {
    /// The descriptor of `ctl`.
    pub ctl: File,
    /// The conversation's directory.
    pub at: String,
}

impl Conversation {
    /// Begins one with the device at `device`.
    pub fn begin(device: &str) -> io::Result<Conversation> {
        let mut ctl = OpenOptions::new().read(true).write(true).open(format!("{device}/clone"))?;
        let mut number = [0; 20];
        let count = ctl.read(&mut number)?;
        let number = String::from_utf8_lossy(&number[..count]);
        let at = format!("{device}/{}", number.trim());
        Ok(Conversation { ctl, at })
    }

    /// Gives a command.
    pub fn tell(&mut self, command: &str) -> io::Result<()> {
        self.ctl.write_all(format!("{command}\n").as_bytes())
    }

    /// The path of one of its files.
    pub fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.at)
    }

    /// The text of one of its files, without the last newline.
    pub fn text(&self, file: &str) -> String {
        match std::fs::read_to_string(self.path(file)) {
            Ok(text) => text.trim_end().to_owned(),
            Err(error) => name(&error),
        }
    }

    /// Asks for a URL and reads the whole answer.
    pub fn get(&mut self, url: &str) -> io::Result<Vec<u8>> {
        self.tell(&format!("url {url}"))?;
        std::fs::read(self.path("body"))
    }
}

/// The name of an error's errno.
pub fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => super::code_name(code).to_owned(),
        None => format!("{:?}", error.kind()),
    }
}

/// `ok`, or the name of the errno.
pub fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => name(error),
    }
}

/// `ok`, the name of the errno, or `network`: browsers don't tell what went wrong there.
pub fn network<T>(result: &io::Result<T>) -> String {
    match outcome(result).as_str() {
        "IO" | "CONNRESET" | "CONNREFUSED" | "HOSTUNREACH" | "PROTO" | "PIPE" => "network".to_owned(),
        other => other.to_owned(),
    }
}

/// A sum over bytes, for transcripts.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619))
}
