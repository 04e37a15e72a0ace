//! The commands about files: what `ls`, `cat` and their kin do.

use std::fs::{self, File, FileType};
use std::io::{ErrorKind, Read, Write};
use std::time::UNIX_EPOCH;

use cap::{Failure, Result, Said};

use crate::paths::{below, last};
use crate::shell::{Shell, explained, print};

/// Bytes of one read.
const BLOCK: usize = 64 << 10;

/// Directories in each other that `rm -r` goes into.
const DEPTH_MAX: usize = 256;

impl Shell {
    pub(crate) fn ls(&self, paths: &[&str], long: bool, out: &mut dyn Write) -> Result<()> {
        let paths = if paths.is_empty() { &["."] } else { paths };
        for typed in paths {
            let path = self.path(typed);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotADirectory => {
                    print(out, &row(&path, last(&path), long)?)?;
                    continue;
                }
                Err(error) => return Err(error).said(&path),
            };
            if paths.len() > 1 {
                print(out, &format!("{path}:\n"))?;
            }
            let mut names = entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<std::io::Result<Vec<String>>>()
                .said(&path)?;
            names.sort();
            for name in names {
                print(out, &row(&below(&path, &name), &name, long)?)?;
            }
        }
        Ok(())
    }

    /// Copies up to `bytes` of a file to the output, as they come.
    pub(crate) fn copy_out(&self, typed: &str, bytes: u64, out: &mut dyn Write) -> Result<()> {
        let path = self.path(typed);
        let mut file = File::open(&path).said(&path).map_err(explained)?;
        let mut left = bytes;
        let mut buffer = vec![0; BLOCK];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let read = file.read(&mut buffer[..most]);
            let count = read.said(&path).map_err(explained)?;
            if count == 0 {
                break;
            }
            left -= count as u64;
            out.write_all(&buffer[..count]).said("output")?;
            out.flush().said("output")?;
        }
        Ok(())
    }

    /// Shows bytes of a file, sixteen a line.
    pub(crate) fn hex(&self, typed: &str, bytes: usize, out: &mut dyn Write) -> Result<()> {
        let path = self.path(typed);
        let mut taken = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(bytes as u64).read_to_end(&mut taken))
            .said(&path)
            .map_err(explained)?;
        for (index, row) in taken.chunks(16).enumerate() {
            let hex: String = row.iter().map(|byte| format!(" {byte:02x}")).collect();
            let text: String = row
                .iter()
                .map(|byte| match byte {
                    b' '..=b'~' => char::from(*byte),
                    _ => '.',
                })
                .collect();
            print(out, &format!("{:07x} {hex:<48}  {text}\n", index * 16))?;
        }
        Ok(())
    }

    pub(crate) fn stat(&self, typed: &str, out: &mut dyn Write) -> Result<()> {
        let path = self.path(typed);
        let found = fs::symlink_metadata(&path).said(&path)?;
        let mut line = format!("{path}: {}", kind(found.file_type()));
        // What a host says of a directory's size is its own.
        if !found.is_dir() {
            line += &format!(", {} bytes", found.len());
        }
        // The epoch is what files have that know no time.
        let modified = found.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        if let Some(seconds) = since
            .map(|since| since.as_secs())
            .filter(|seconds| *seconds > 0)
        {
            let changed = cap::rfc3339(i64::try_from(seconds).unwrap_or(i64::MAX));
            line += &format!(", changed {changed}");
        }
        print(out, &format!("{line}\n"))
    }

    pub(crate) fn remove(&self, first: &str, more: &[&str], deep: bool) -> Result<()> {
        for typed in std::iter::once(&first).chain(more) {
            let path = self.path(typed);
            if path == "/" {
                return Err(Failure::new("/", "the root stays"));
            }
            let kind = fs::symlink_metadata(&path).said(&path)?.file_type();
            match (kind.is_dir(), deep) {
                (true, true) => remove_below(&path, 0)?,
                (true, false) => fs::remove_dir(&path).said(&path)?,
                (false, _) => fs::remove_file(&path).said(&path)?,
            }
        }
        Ok(())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path(from), self.target(from, to));
        fs::rename(&from, &to).said(format!("{from} to {to}"))
    }

    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (path, to) = (self.path(from), self.target(from, to));
        if path == to {
            return Err(Failure::new(path, "that is the same file"));
        }
        let mut file = File::create(&to).said(&to).map_err(explained)?;
        self.copy_out(from, u64::MAX, &mut file)
    }

    /// Where `from` goes: into `to`, when that is a directory.
    fn target(&self, from: &str, to: &str) -> String {
        let to = self.path(to);
        match fs::metadata(&to) {
            Ok(found) if found.is_dir() => below(&to, last(&self.path(from))),
            _ => to,
        }
    }
}

fn row(path: &str, name: &str, long: bool) -> Result<String> {
    let found = fs::symlink_metadata(path).said(path)?;
    let mark = if found.is_dir() { "/" } else { "" };
    Ok(if long {
        let size = if found.is_dir() {
            "-".to_owned()
        } else {
            found.len().to_string()
        };
        let kind = kind(found.file_type());
        format!("{kind:9} {size:>10}  {name}{mark}\n")
    } else {
        format!("{name}{mark}\n")
    })
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "directory"
    } else if kind.is_file() {
        "file"
    } else if kind.is_symlink() {
        "link"
    } else {
        "stream"
    }
}

fn remove_below(directory: &str, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Failure::new(directory, "directories are nested too deep"));
    }
    // Names first: what is listed while it changes may be listed again, or not at all.
    let names = fs::read_dir(directory)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .said(directory)?;
    for entry in names {
        let path = below(directory, &entry.file_name().to_string_lossy());
        if fs::symlink_metadata(&path).said(&path)?.is_dir() {
            remove_below(&path, depth + 1)?;
        } else {
            fs::remove_file(&path).said(&path)?;
        }
    }
    fs::remove_dir(directory).said(directory)
}
