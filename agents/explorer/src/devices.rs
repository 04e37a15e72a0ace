//! Descriptors held open from one command to the next, for devices whose state is a descriptor's.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};

use cap::{Failure, Result, Said};

use crate::shell::{Shell, explained, print};

/// Descriptors held at once.
const HELD_MAX: usize = 64;

/// Bytes of one read, at most.
const READ_MAX: usize = 1 << 20;

/// Where a host lets an agent change its own namespace.
const OWN_TASK: &str = "/task/self/ctl";

/// A file that is held open.
pub struct Held {
    file: File,
    path: String,
    /// The directory of the conversation that the descriptor is the `ctl` of.
    conversation: Option<String>,
}

impl Held {
    /// A failure with the words of the device.
    fn explain(&self, mut failure: Failure) -> Failure {
        if let Some(directory) = &self.conversation {
            failure.what = format!("{directory}/ctl");
        }
        explained(failure)
    }
}

impl Shell {
    pub(crate) fn open(
        &mut self,
        number: u32,
        typed: &str,
        mode: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<()> {
        if self.held.len() >= HELD_MAX && !self.held.contains_key(&number) {
            return Err(Failure::new("open", format!("{HELD_MAX} are held already")));
        }
        let path = self.path(typed);
        let open = |read, write| OpenOptions::new().read(read).write(write).open(&path);
        let opened = match mode {
            Some("r") => open(true, false),
            Some("w") => open(false, true),
            Some("rw") => open(true, true),
            Some(other) => return Err(Failure::new(other, "expected r, w or rw")),
            // Both, where the file has both.
            None => open(true, true).or_else(|error| match error.kind() {
                ErrorKind::NotFound => Err(error),
                _ => open(true, false)
                    .or_else(|_| open(false, true))
                    .map_err(|_| error),
            }),
        };
        let mut held = Held {
            file: opened.said(&path).map_err(explained)?,
            conversation: None,
            path,
        };
        if let Some(device) = held.path.strip_suffix("/clone") {
            let mut text = [0; 32];
            let length = held.file.read(&mut text).said(&held.path)?;
            let name = String::from_utf8_lossy(&text[..length]);
            let directory = format!("{device}/{}", name.trim());
            print(out, &format!("{number} is {directory}/ctl\n"))?;
            held.conversation = Some(directory);
            // So that `read` shows the number, as it would have without this look.
            let _ = held.file.rewind();
        }
        self.held.insert(number, held);
        Ok(())
    }

    pub(crate) fn read(&mut self, number: u32, bytes: usize, out: &mut dyn Write) -> Result<()> {
        let held = self.held_mut(number)?;
        let mut buffer = vec![0; bytes.min(READ_MAX)];
        let read = held.file.read(&mut buffer).said(&held.path);
        let count = read.map_err(|failure| held.explain(failure))?;
        if count == 0 && bytes > 0 {
            return Err(Failure::new(&held.path, "it is at its end"));
        }
        out.write_all(&buffer[..count]).said("output")?;
        // The next prompt begins a line.
        if buffer[..count].last().is_some_and(|byte| *byte != b'\n') {
            print(out, "\n")?;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, number: u32, text: &str) -> Result<()> {
        let held = self.held_mut(number)?;
        let written = held.file.write_all(text.as_bytes()).said(&held.path);
        written.map_err(|failure| held.explain(failure))
    }

    pub(crate) fn close(&mut self, number: u32) -> Result<()> {
        match self.held.remove(&number) {
            Some(_) => Ok(()),
            None => Err(unknown(number)),
        }
    }

    pub(crate) fn list_held(&self, out: &mut dyn Write) -> Result<()> {
        self.held.iter().try_for_each(|(number, held)| {
            let conversation = held.conversation.as_ref();
            let shown = conversation.map_or(held.path.clone(), |place| format!("{place}/ctl"));
            print(out, &format!("{number}  {shown}\n"))
        })
    }

    /// Gives a command about this agent's own namespace.
    pub(crate) fn namespace(&self, command: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(OWN_TASK)
            .map_err(|error| {
                let words =
                    "the namespace is as it was granted; there is no /task/self to change it by";
                match error.kind() {
                    ErrorKind::NotFound => Failure::new("bind", words),
                    _ => Failure {
                        what: OWN_TASK.to_owned(),
                        error,
                        detail: None,
                    },
                }
            })?;
        file.write_all(format!("{command}\n").as_bytes())
            .said(OWN_TASK)
            .map_err(explained)
    }

    fn held_mut(&mut self, number: u32) -> Result<&mut Held> {
        self.held.get_mut(&number).ok_or_else(|| unknown(number))
    }
}

fn unknown(number: u32) -> Failure {
    Failure::new(
        number.to_string(),
        "no descriptor has this number; `open` makes one",
    )
}
