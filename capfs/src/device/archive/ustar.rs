//! Reading the headers of a tar: ustar and pax ([pax(1)](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06)),
//! and [GNU's](https://www.gnu.org/software/tar/manual/html_node/Standard.html) long names.

use super::tree::{Body, Names, ROOT, Tree};
use super::{ARCHIVE_SHOWN_MAX, ArchiveBytes, ArchiveError, shown};
use crate::account::Account;
use crate::clock::NANOS_PER_SEC;
use crate::{Name, PATH_MAX};

/// Bytes in a block; headers are one, contents are padded to whole ones.
const BLOCK: usize = 512;

/// What extended headers say about the next entry, or global ones about all that follow, instead of the entry's own header.
#[derive(Default)]
struct Extended {
    path: Said<Vec<u8>>,
    link: Said<Vec<u8>>,
    size: Said<usize>,
    mtime: Said<u64>,
    sparse: bool,
}

/// What a field is said to be; `Some(None)` where it is said that it is not told at all.
type Said<T> = Option<Option<T>>;

/// What extended headers have said so far.
#[derive(Default)]
struct Headers {
    /// About all entries that follow.
    global: Extended,
    /// About the next one, which goes before.
    next: Extended,
}

impl Headers {
    /// Where the next entry is said to be.
    fn path(&mut self) -> Option<Vec<u8>> {
        let next = self.next.path.take();
        next.or_else(|| self.global.path.clone()).flatten()
    }

    /// What the next entry is said to link to.
    fn link(&mut self) -> Option<Vec<u8>> {
        let next = self.next.link.take();
        next.or_else(|| self.global.link.clone()).flatten()
    }

    /// What it is said to have of contents, in bytes.
    fn size(&self) -> Option<usize> {
        self.next.size.or(self.global.size).flatten()
    }
}

/// Reads all headers of a tar.
pub(super) fn index(bytes: Box<dyn ArchiveBytes>, account: &Account) -> Result<Tree, ArchiveError> {
    let mut tree = Tree::new(bytes, account);
    let mut headers = Headers::default();
    let mut offset = 0;
    while let Some(next) = read_entry(&mut tree, &mut headers, offset)? {
        offset = next;
    }
    Ok(tree)
}

/// Reads the entry at `offset` and returns where the next one is; none at the end.
fn read_entry(
    tree: &mut Tree,
    headers: &mut Headers,
    offset: usize,
) -> Result<Option<usize>, ArchiveError> {
    let bytes = tree.bytes();
    let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) else {
        return Ok(None);
    };
    let Some(header) = rest.get(..BLOCK) else {
        return Err(ArchiveError::Truncated { offset });
    };
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    check_sum(header).ok_or(ArchiveError::Checksum { offset })?;

    let malformed = |field| ArchiveError::Malformed { offset, field };
    let kind = header[156];
    let is_extension = matches!(kind, b'x' | b'X' | b'g' | b'L' | b'K');
    let mut size = number(&header[124..136])
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| malformed("size"))?;
    if !is_extension && let Some(real) = headers.size() {
        size = real;
    }
    // Links, directories, devices and FIFOs have no contents, whatever their header says.
    let length = match kind {
        b'1'..=b'6' => 0,
        _ => size,
    };
    let start = offset + BLOCK;
    let contents = start
        .checked_add(length)
        .map(|end| start..end)
        .filter(|range| range.end <= bytes.len())
        .ok_or(ArchiveError::Truncated { offset })?;
    let next = contents.end.next_multiple_of(BLOCK);

    match kind {
        b'L' => headers.next.path = Some(Some(until_nul(&bytes[contents]).to_vec())),
        b'K' => headers.next.link = Some(Some(until_nul(&bytes[contents]).to_vec())),
        // Solaris had them before pax.
        b'x' | b'X' => {
            read_pax(&bytes[contents], &mut headers.next)
                .ok_or_else(|| malformed("extended header"))?;
        }
        b'g' => {
            read_pax(&bytes[contents], &mut headers.global)
                .ok_or_else(|| malformed("global header"))?;
        }
        // A label of the archive, which is no file.
        b'V' => headers.next = Extended::default(),
        _ => {
            let path = headers.path().unwrap_or_else(|| full_name(header));
            let link = match kind {
                b'1' | b'2' => headers
                    .link()
                    .unwrap_or_else(|| until_nul(&header[157..257]).to_vec()),
                _ => Vec::new(),
            };
            let Headers { global, next: said } = &*headers;
            let mtime = match said.mtime.or(global.mtime).flatten() {
                Some(mtime) => mtime,
                None => number(&header[136..148])
                    .ok_or_else(|| malformed("modification time"))?
                    .saturating_mul(NANOS_PER_SEC),
            };
            let entry = Entry {
                kind: match (kind, said.sparse || global.sparse) {
                    (b'0' | 0, true) => b'S',
                    // Before ustar, a directory was a file whose name ends so.
                    (b'0' | 0, _) if path.ends_with(b"/") => b'5',
                    // A directory of an incremental archive of GNU's, whose contents are a list of its names.
                    (b'D', _) => b'5',
                    (kind, _) => kind,
                },
                path,
                link,
                mtime,
                contents,
            };
            headers.next = Extended::default();
            entry.place(tree)?;
        }
    }
    Ok(Some(next))
}

/// An entry that stands for a file.
struct Entry {
    kind: u8,
    path: Vec<u8>,
    link: Vec<u8>,
    mtime: u64,
    contents: std::ops::Range<usize>,
}

impl Entry {
    fn place(self, tree: &mut Tree) -> Result<(), ArchiveError> {
        let path = text(self.path)?;
        let components = components(&path)?;
        let conflict = || ArchiveError::Conflict { path: shown(&path) };

        let Some((name, above)) = components.split_last() else {
            // The archive's own root, as `tar c .` writes it.
            if self.kind != b'5' {
                return Err(conflict());
            }
            tree.set_mtime(ROOT, self.mtime);
            return Ok(());
        };
        let mut directory = ROOT;
        for component in above {
            directory = match tree.find(directory, component) {
                Some(index) if tree.is_directory(index) => index,
                Some(_) => return Err(conflict()),
                None => {
                    let index = tree.add(self.mtime, Body::Directory(Names::default()))?;
                    tree.name(directory, component, index)?;
                    index
                }
            };
        }

        let there = tree.find(directory, name);
        if self.kind == b'5'
            && let Some(index) = there.filter(|index| tree.is_directory(*index))
        {
            tree.set_mtime(index, self.mtime);
            return Ok(());
        }
        let index = match self.kind {
            b'0' | b'7' | 0 => tree.add(self.mtime, Body::File(self.contents))?,
            b'5' => tree.add(self.mtime, Body::Directory(Names::default()))?,
            // Devices and FIFOs.
            b'3' | b'4' | b'6' => tree.add(self.mtime, Body::LeftOut)?,
            b'2' => {
                let target = text(self.link)?;
                if target.is_empty() || target.len() > PATH_MAX || target.contains('\0') {
                    return Err(ArchiveError::BadPath {
                        path: shown(&target),
                    });
                }
                tree.add(self.mtime, Body::Symlink(target))?
            }
            b'1' => {
                let target = text(self.link)?;
                find(tree, &target)?
                    .filter(|index| !tree.is_directory(*index))
                    .ok_or_else(|| ArchiveError::DanglingLink {
                        path: shown(&path),
                        target: shown(&target),
                    })?
            }
            kind => {
                return Err(ArchiveError::Unsupported {
                    path: shown(&path),
                    kind: char::from(kind),
                });
            }
        };
        if tree.is_left_out(index) {
            tree.leave_out(&path);
        }
        tree.name(directory, name, index)
    }
}

fn find(tree: &Tree, path: &str) -> Result<Option<usize>, ArchiveError> {
    let mut at = Some(ROOT);
    for component in components(path)? {
        at = at.and_then(|index| tree.find(index, component));
    }
    Ok(at)
}

fn components(path: &str) -> Result<Vec<&str>, ArchiveError> {
    let bad = || ArchiveError::BadPath { path: shown(path) };
    if path.is_empty() || path.len() > PATH_MAX {
        return Err(bad());
    }
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => return Err(ArchiveError::Escapes { path: shown(path) }),
            component => {
                Name::new(component).map_err(|_| bad())?;
                components.push(component);
            }
        }
    }
    Ok(components)
}

fn text(bytes: Vec<u8>) -> Result<String, ArchiveError> {
    String::from_utf8(bytes).map_err(|error| {
        // No character has more than four bytes.
        let bytes = error.as_bytes();
        let beginning = &bytes[..bytes.len().min(4 * ARCHIVE_SHOWN_MAX + 4)];
        ArchiveError::BadPath {
            path: shown(&String::from_utf8_lossy(beginning)),
        }
    })
}

/// The name in a header, with ustar's prefix; GNU's format has other things in the prefix's place.
fn full_name(header: &[u8]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let prefix = until_nul(&header[345..500]);
    if &header[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// Checks a header's sum; old writers summed signed bytes.
fn check_sum(header: &[u8]) -> Option<()> {
    let expected = i64::try_from(number(&header[148..156])?).ok()?;
    let blanked = |index: usize, byte: u8| match index {
        148..156 => b' ',
        _ => byte,
    };
    let bytes = || header.iter().enumerate();
    let unsigned: i64 = bytes().map(|(i, byte)| i64::from(blanked(i, *byte))).sum();
    let signed: i64 = bytes()
        .map(|(i, byte)| i64::from(blanked(i, *byte).cast_signed()))
        .sum();
    (expected == unsigned || expected == signed).then_some(())
}

/// A number field: octal digits between blanks, or, marked by the highest bit, big-endian binary. What is
/// below zero (times before 1970) counts as zero.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first == 0xff {
        return Some(0);
    }
    if first & 0x80 != 0 {
        return rest
            .iter()
            .try_fold(u64::from(first & 0x7f), |value, byte| {
                Some(value.checked_mul(256)? + u64::from(*byte))
            });
    }
    let digits = until_nul(field).trim_ascii();
    digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => Some(value.checked_mul(8)? + u64::from(byte - b'0')),
        _ => None,
    })
}

/// Reads pax records, `LENGTH KEY=VALUE\n` each.
fn read_pax(mut records: &[u8], extended: &mut Extended) -> Option<()> {
    while !records.is_empty() {
        let blank = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        // An empty value says that there is none.
        let said = (!value.is_empty()).then_some(value);
        let text = || said.map(std::str::from_utf8).transpose().ok();
        match key {
            b"path" => extended.path = Some(said.map(<[u8]>::to_vec)),
            b"linkpath" => extended.link = Some(said.map(<[u8]>::to_vec)),
            b"size" => extended.size = Some(text()?.map(str::parse).transpose().ok()?),
            b"mtime" => {
                extended.mtime = Some(match text()? {
                    Some(text) => Some(decimal_nanos(text)?),
                    None => None,
                });
            }
            _ if key.starts_with(b"GNU.sparse.") => extended.sparse = true,
            _ => {}
        }
        records = &records[length..];
    }
    Some(())
}

/// Seconds with a decimal fraction, as nanoseconds; what is below zero counts as zero.
fn decimal_nanos(text: &str) -> Option<u64> {
    if text.starts_with('-') {
        return Some(0);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let seconds: u64 = seconds.parse().ok()?;
    seconds
        .saturating_mul(NANOS_PER_SEC)
        .checked_add(digits.parse().ok()?)
}
