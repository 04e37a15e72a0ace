//! The commands by name, and what lasts from one to the next: the working directory and the descriptors held open.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use cap::{Failure, Result, Said};

use crate::devices::Held;
use crate::line::{self, Command};
use crate::paths::absolute;

/// What comes after a line.
pub enum Step {
    /// The next line.
    Next,
    /// The end, with an exit status.
    Exit(u8),
}

const HELP: &str = "\
files
  ls [-l] [PATH]…         names; -l: type, size, name
  cat PATH…               contents, as they come
  head BYTES PATH         the first bytes
  xd PATH [BYTES]         bytes in hexadecimal, 256 unless told
  stat PATH…              type, size, time of the last change
  echo [-n] WORD…         the words; -n: without a newline
  cd [PATH]               goes to a directory
  pwd                     where that is
  mkdir PATH…             new directories
  cp FROM TO              copies a file
  mv FROM TO              renames
  rm [-r] PATH…           removes; -r: directories with what is in them
descriptors, for devices
  open N PATH [r|w|rw]    opens a file as N; a `clone` begins a conversation, which lasts until it is closed
  read N [BYTES]          one read: what is there, or waits for it
  write [-n] N WORD…      one write
  close N                 closes it
  held                    what is open
the namespace
  bind OLD NEW            makes OLD appear at NEW too, where the host has /task/self
  unbind NEW
the shell
  COMMAND > PATH          the output goes to a file; >> behind what it has
  'WORD'  \"WORD\"  \\C       literally
  COMMAND; COMMAND  # …   several on a line; a comment
  help                    this list
  exit [STATUS]           ends the shell
";

/// A running shell.
pub struct Shell {
    directory: String,
    /// Held descriptors, by the numbers that the user gave.
    pub(crate) held: std::collections::BTreeMap<u32, Held>,
}

impl Shell {
    /// A shell in the root.
    pub fn new() -> Shell {
        Shell {
            directory: "/".to_owned(),
            held: Default::default(),
        }
    }

    /// The working directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// An absolute path from one that was typed.
    pub(crate) fn path(&self, typed: &str) -> String {
        absolute(&self.directory, typed)
    }

    /// Runs the commands of a line, up to the first that fails.
    ///
    /// # Errors
    /// What is wrong with the line or a command of it.
    pub fn line(&mut self, text: &str, out: &mut dyn Write) -> Result<Step> {
        let commands = line::parse(text).map_err(|words| Failure::new("line", words))?;
        for command in commands {
            if let Step::Exit(status) = self.command(&command, out)? {
                return Ok(Step::Exit(status));
            }
        }
        Ok(Step::Next)
    }

    fn command(&mut self, command: &Command, out: &mut dyn Write) -> Result<Step> {
        let Some(to) = &command.output else {
            return self.dispatch(&command.words, out);
        };
        let path = self.path(&to.path);
        let mut options = OpenOptions::new();
        options.create(true);
        if to.append {
            options.append(true);
        } else {
            options.write(true).truncate(true);
        }
        let mut file = options.open(&path).said(&path).map_err(explained)?;
        let mut redirected = Redirected {
            path: &path,
            file: &mut file,
            refused: None,
        };
        let step = self.dispatch(&command.words, &mut redirected);
        match redirected.refused {
            Some(refused) => Err(explained(refused)),
            None => step,
        }
    }

    fn dispatch(&mut self, words: &[String], out: &mut dyn Write) -> Result<Step> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["ls", "-l", ref paths @ ..] => self.ls(paths, true, out)?,
            ["ls", ref paths @ ..] => self.ls(paths, false, out)?,
            ["cat", first, ref more @ ..] => {
                for path in std::iter::once(&first).chain(more) {
                    self.copy_out(path, u64::MAX, out)?;
                }
            }
            ["head", bytes, path] => self.copy_out(path, number(bytes)?, out)?,
            ["xd", path] => self.hex(path, 256, out)?,
            ["xd", path, bytes] => self.hex(path, number(bytes)?, out)?,
            ["stat", first, ref more @ ..] => {
                for path in std::iter::once(&first).chain(more) {
                    self.stat(path, out)?;
                }
            }
            ["echo", "-n", ref words @ ..] => print(out, &words.join(" "))?,
            ["echo", ref words @ ..] => print(out, &format!("{}\n", words.join(" ")))?,
            ["cd"] => self.directory = "/".to_owned(),
            ["cd", path] => {
                let path = self.path(path);
                // Listing it tells a directory from a file, and a missing one from either.
                std::fs::read_dir(&path).said(&path)?;
                self.directory = path;
            }
            ["pwd"] => print(out, &format!("{}\n", self.directory))?,
            ["mkdir", first, ref more @ ..] => {
                for path in std::iter::once(&first).chain(more) {
                    let path = self.path(path);
                    std::fs::create_dir(&path).said(&path)?;
                }
            }
            ["rm", "-r", first, ref more @ ..] => self.remove(first, more, true)?,
            ["rm", first, ref more @ ..] => self.remove(first, more, false)?,
            ["mv", from, to] => self.rename(from, to)?,
            ["cp", from, to] => self.copy(from, to)?,
            ["open", number_, path] => self.open(number(number_)?, path, None, out)?,
            ["open", number_, path, mode] => self.open(number(number_)?, path, Some(mode), out)?,
            ["read", held] => self.read(number(held)?, 64 << 10, out)?,
            ["read", held, bytes] => self.read(number(held)?, number(bytes)?, out)?,
            ["write", "-n", held, ref words @ ..] => self.write(number(held)?, &words.join(" "))?,
            ["write", held, ref words @ ..] => {
                self.write(number(held)?, &format!("{}\n", words.join(" ")))?;
            }
            ["close", held] => self.close(number(held)?)?,
            ["held"] => self.list_held(out)?,
            ["bind", old, new] => {
                self.namespace(&format!("bind {} {}", self.path(old), self.path(new)))?
            }
            ["unbind", new] => self.namespace(&format!("unbind {}", self.path(new)))?,
            ["help"] => print(out, HELP)?,
            ["exit"] => return Ok(Step::Exit(0)),
            ["exit", status] => return Ok(Step::Exit(number(status)?)),
            _ => return Err(misused(words[0])),
        }
        Ok(Step::Next)
    }
}

/// Says how a command is used that was used otherwise, or that there is none.
fn misused(name: &str) -> Failure {
    let usage = HELP
        .lines()
        .filter_map(|line| line.trim_start().split("  ").next())
        .find(|usage| usage.split(' ').next() == Some(name));
    match usage {
        Some(usage) => Failure::new(name, format!("used as: {usage}")),
        None => Failure::new(name, "there is no such command; `help` lists them"),
    }
}

/// A number that a command takes.
fn number<N: std::str::FromStr>(word: &str) -> Result<N> {
    word.parse()
        .map_err(|_| Failure::new(word, "expected a number"))
}

/// Prints text in one write, which carries a command to a device as a whole.
pub(crate) fn print(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).said("output")
}

/// A failure with the words of the nearest `error` file above it that is a device's. Of a conversation that is not there the device has said
/// nothing: its words are of something else.
pub(crate) fn explained(mut failure: Failure) -> Failure {
    if failure.detail.is_some() || failure.what.ends_with("/error") {
        return failure;
    }
    let path = Path::new(&failure.what);
    let Some(device) = path.ancestors().skip(1).find(|above| is_device(above)) else {
        return failure;
    };
    let below = path.strip_prefix(device).ok();
    let first = below.and_then(|below| below.components().next());
    let gone = first.is_some_and(|first| {
        let name = first.as_os_str().as_encoded_bytes();
        name.iter().all(u8::is_ascii_digit) && std::fs::metadata(device.join(first)).is_err()
    });
    if !gone {
        let words = std::fs::read_to_string(device.join("error")).unwrap_or_default();
        failure.detail = Some(words.trim().to_owned()).filter(|words| !words.is_empty());
    }
    failure
}

/// Whether a directory lists what a device or a conversation has. Walking to a name does not tell: below `/cap/fetch/https`
/// every name is a server.
fn is_device(directory: &Path) -> bool {
    let names: Vec<OsString> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    has("error") && (has("ctl") || has("policy"))
}

/// A file that takes a command's output, and remembers how it refused.
struct Redirected<'a> {
    path: &'a str,
    file: &'a mut std::fs::File,
    refused: Option<Failure>,
}

impl Write for Redirected<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| {
            let error = match error.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::from(error.kind()),
            };
            self.refused = Some(Failure {
                what: self.path.to_owned(),
                error,
                detail: None,
            });
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(line: &str) -> String {
        let mut out = Vec::new();
        match Shell::new().line(line, &mut out) {
            Ok(Step::Next) => String::from_utf8(out).unwrap(),
            Ok(Step::Exit(status)) => format!("exit {status}"),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn commands() {
        assert_eq!(says("echo a 'b  c'; pwd"), "a b  c\n/\n");
        assert_eq!(says("echo -n a"), "a");
        assert_eq!(says("exit 3; echo a"), "exit 3");
        assert_eq!(
            says("frobnicate"),
            "frobnicate: there is no such command; `help` lists them"
        );
        assert_eq!(says("mv a"), "mv: used as: mv FROM TO");
        assert_eq!(says("read x"), "x: expected a number");
        assert_eq!(
            says("read 4"),
            "4: no descriptor has this number; `open` makes one"
        );
    }
}
