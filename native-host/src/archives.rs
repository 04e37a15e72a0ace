//! Archives of the host's files, unpacked for one agent: charged to its account before they are in memory.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use capfs::account::{Account, Buffer, Holding};
use capfs::device::archive::{Archive, ArchiveError, Held, LeftOut};
use flate2::bufread::GzDecoder;

use crate::reserved::FileId;

/// Bytes that an archive may have, as it comes and unpacked: it is kept in memory.
const ARCHIVE_MAX: u64 = 1 << 30;

/// Members (RFC 1952, section 2.2) that a compressed archive may have: an archive of [`ARCHIVE_MAX`] in those of 16 KiB. Each costs
/// the time of a new decompressor, also where nothing is in it.
const MEMBERS_MAX: usize = 1 << 16;

/// Bytes that are unpacked at a time.
const CHUNK: usize = 64 << 10;

/// How a gzip file begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Why an archive can't be mounted.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is larger than the agent may hold.
    #[error("it takes more memory than the program may have")]
    Memory,
    /// It is damaged, or too much of it.
    #[error("{0}")]
    Malformed(String),
}

impl From<ArchiveError> for Unusable {
    fn from(error: ArchiveError) -> Unusable {
        match error {
            ArchiveError::NoMemory => Unusable::Memory,
            error => Unusable::Malformed(error.to_string()),
        }
    }
}

/// The archives of one agent's mounts. A file that is mounted several times is read and kept once.
#[derive(Default)]
pub struct Archives {
    read: BTreeMap<FileId, Archive>,
    /// What is left out of them, in words.
    pub left_out: Vec<String>,
}

impl Archives {
    /// Reads a tar, plain or gzipped, for the agent of an account; with it comes which file it is, unless it comes by a pipe.
    ///
    /// # Errors
    /// See [`Unusable`]; nothing is charged then.
    pub fn open(
        &mut self,
        path: &Path,
        account: &Account,
    ) -> Result<(Archive, Option<FileId>), Unusable> {
        let file = File::open(path)?;
        // What comes by a pipe is another thing each time.
        let key = |metadata: Metadata| {
            let is_same = metadata.is_file();
            is_same.then(|| FileId::new(metadata.dev(), metadata.ino()))
        };
        let key = key(file.metadata()?);
        if let Some(archive) = key.and_then(|key| self.read.get(&key)) {
            return Ok((archive.clone(), key));
        }
        let unpacked = unpack(file, ARCHIVE_MAX, account)?;
        let archive = Archive::charged(unpacked, account)?;
        if let Some(LeftOut { first, entries }) = archive.left_out() {
            let shown = path.display();
            self.left_out.push(match entries {
                1 => format!("`{first}` of `{shown}`, which is a device or a FIFO"),
                _ => format!("{entries} devices and FIFOs of `{shown}`, such as `{first}`"),
            });
        }
        self.read.extend(key.map(|key| (key, archive.clone())));
        Ok((archive, key))
    }
}

/// Reads a file, and unpacks it if it is gzipped, to at most `max` bytes.
///
/// # Errors
/// See [`Unusable`].
fn unpack(file: impl Read, max: u64, account: &Account) -> Result<Held, Unusable> {
    let mut file = AtMost {
        file,
        max,
        left: max,
    };
    let mut head = Vec::new();
    Read::by_ref(&mut file)
        .take(GZIP.len() as u64)
        .read_to_end(&mut head)?;
    let is_packed = head == GZIP;
    let file = Cursor::new(head).chain(BufReader::with_capacity(CHUNK, file));
    let mut unpacked = Buffer::new(account, Holding::Files);
    match is_packed {
        true => gunzip(file, max, &mut unpacked)?,
        false => gather(file, max, &mut unpacked)?,
    }
    let (mut bytes, mut charge) = unpacked.take();
    bytes.shrink_to_fit();
    // Never more than before.
    let _ = charge.resize(bytes.capacity() as u64);
    Ok(Held::new(bytes, charge))
}

/// Unpacks gzip.
fn gunzip(mut packed: impl BufRead, max: u64, unpacked: &mut Buffer) -> Result<(), Unusable> {
    let mut members = 0;
    while !packed.fill_buf()?.is_empty() {
        if members == MEMBERS_MAX {
            let text = format!("it is made of more than {MEMBERS_MAX} gzip files");
            return Err(Unusable::Malformed(text));
        }
        members += 1;
        let member = GzDecoder::new(&mut packed);
        gather(member, max, unpacked).map_err(|error| match error {
            Unusable::Read(error) if error.kind() != io::ErrorKind::FileTooLarge => {
                Unusable::Malformed(format!("not a valid gzip file: {error}"))
            }
            error => error,
        })?;
    }
    Ok(())
}

/// Adds all that can be read, as long as there are no more than `max` bytes.
fn gather(mut from: impl Read, max: u64, gathered: &mut Buffer) -> Result<(), Unusable> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if (gathered.len() + count) as u64 > max {
            let text = format!("it unpacks to more than {max} bytes");
            return Err(Unusable::Malformed(text));
        }
        let added = gathered.extend(&chunk[..count]);
        added.map_err(|_| Unusable::Memory)?;
    }
}

/// A file of `max` bytes at most: more is an error, and not its end.
struct AtMost<R> {
    file: R,
    max: u64,
    left: u64,
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(bytes)? as u64;
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            let text = format!("it has more than {} bytes", self.max);
            io::Error::new(io::ErrorKind::FileTooLarge, text)
        })?;
        Ok(count as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
        encoder.read_to_end(&mut packed).unwrap();
        packed
    }

    fn unpacked(packed: &[u8], max: u64) -> Result<Vec<u8>, String> {
        let unpacked = unpack(packed, max, &Account::unlimited());
        unpacked
            .map(|unpacked| unpacked.as_ref().to_vec())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn gzip_has_several_members_and_not_any_number() {
        let two = [gzipped(b"one, "), gzipped(b"two")].concat();
        let long = two.len() as u64;
        assert_eq!(unpacked(&two, long).unwrap(), b"one, two");
        let error = unpacked(&two, long - 1).unwrap_err();
        assert!(error.contains("it has more than"), "{error}");
        let zeros = gzipped(&[0; 100_000]);
        assert_eq!(unpacked(&zeros, 100_000).unwrap(), [0; 100_000]);
        let error = unpacked(&zeros, 99_999).unwrap_err();
        assert!(error.contains("it unpacks to more than 99999"), "{error}");
        let error = unpacked(&two[..two.len() - 1], long).unwrap_err();
        assert!(error.contains("not a valid gzip file"), "{error}");
        let most = gzipped(b"").repeat(MEMBERS_MAX);
        assert_eq!(unpacked(&most, ARCHIVE_MAX).unwrap(), b"");
        let over = [most, gzipped(b"")].concat();
        let error = unpacked(&over, ARCHIVE_MAX).unwrap_err();
        assert!(error.contains("more than 65536"), "{error}");
    }

    #[test]
    fn what_is_not_packed_is_taken_as_it_is() {
        for bytes in [&b""[..], b"\x1f", b"\x1fb", b"plain"] {
            assert_eq!(unpacked(bytes, 5).unwrap(), bytes);
        }
        assert!(unpacked(b"plain.", 5).is_err());
        assert!(unpack(io::repeat(0), 100, &Account::unlimited()).is_err());
    }

    /// A tar with one file, `f`, of so many zeros.
    fn tar(zeros: usize) -> Vec<u8> {
        let mut header = [0; 512];
        header[0] = b'f';
        header[124..135].copy_from_slice(format!("{zeros:011o}").as_bytes());
        header[136] = b'0';
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut tar = header.to_vec();
        tar.resize(512 + zeros.next_multiple_of(512) + 1024, 0);
        tar
    }

    #[test]
    fn an_archive_is_charged_before_it_is_unpacked_and_kept_once() {
        const SIZE: usize = 4 << 20;
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str, bytes: Vec<u8>| {
            let path = scratch.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let [plain, packed] = [
            path("a.tar", tar(SIZE)),
            path("a.tar.gz", gzipped(&tar(SIZE))),
        ];
        std::fs::hard_link(&packed, scratch.path().join("same")).unwrap();
        for file in [&plain, &packed] {
            let small = Account::new(SIZE as u64);
            let refused = Archives::default().open(file, &small).err();
            assert!(matches!(refused, Some(Unusable::Memory)), "{refused:?}");
            assert_eq!(small.used(), 0);
            assert!(small.usage().peak > SIZE as u64 / 2, "{:?}", small.usage());
            // There is room for it once, with its name.
            let account = Account::new(SIZE as u64 + (64 << 10));
            let mut archives = Archives::default();
            let (archive, id) = archives.open(file, &account).unwrap();
            let used = account.used();
            assert!(used > SIZE as u64 + 512, "{used}");
            let (again, same) = archives.open(file, &account).unwrap();
            assert!(id.is_some() && id == same);
            let read = capfs::testkit::read(&again.root(), "f").unwrap();
            assert_eq!((read.len(), account.used()), (SIZE, used));
            drop((archives, archive));
            assert_eq!(account.used(), used, "as long as it is mounted");
            drop(again);
            assert_eq!(account.used(), 0);
        }
        let account = Account::new(SIZE as u64 + (64 << 10));
        let mut archives = Archives::default();
        archives.open(&packed, &account).unwrap();
        archives
            .open(&scratch.path().join("same"), &account)
            .unwrap();
        assert!(matches!(
            archives.open(&plain, &account),
            Err(Unusable::Memory)
        ));
    }
}
