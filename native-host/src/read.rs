//! Files that are read whole, up to a limit: a device, or a pipe without an end, must not take all memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Bytes of a program, at most: 1 GiB.
pub const PROGRAM_MAX: u64 = 1 << 30;

/// Reads a file of `max` bytes at most.
///
/// # Errors
/// Whatever opening and reading end with; [`io::ErrorKind::FileTooLarge`] where there is more.
pub fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len().min(max);
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {max} bytes"),
        )),
        false => Ok(bytes),
    }
}

/// Bytes of a file that holds a secret, at most.
const SECRET_MAX: u64 = 64 << 10;

/// The first line of a file that holds a secret, without its end.
///
/// # Errors
/// Whatever reading ends with; [`io::ErrorKind::InvalidData`] for an empty line, or what is not UTF-8.
pub fn first_line(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(read_at_most(path, SECRET_MAX)?);
    let invalid = |text| io::Error::new(io::ErrorKind::InvalidData, text);
    let text = str::from_utf8(&bytes).map_err(|_| invalid("it is not UTF-8"))?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(invalid("its first line is empty")),
        line => Ok(Zeroizing::new(line.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = read_at_most(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 100 bytes");
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("f");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_at_most(&path, 100).unwrap(), [7; 100]);
        assert!(read_at_most(&path, 99).is_err());
        assert!(read_at_most(scratch.path(), 99).is_err());
    }
}
