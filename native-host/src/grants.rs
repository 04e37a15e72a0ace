//! What the command line grants, as mounts of a namespace.
//!
//! Nothing is granted by default. Each grant is a mount; each mounted directory is handed to the
//! program as a preopened directory, named as it was written, in the order of the command line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use capfs::device::archive::Archive;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::null::Null;
use capfs::device::zero::Zero;
use capfs::{BindFlags, FileKind, Namespace, NodeRef, Rights};
use capfs_runtime::Preopen;

use crate::capabilities::Capabilities;
use crate::clock::SystemClock;
use crate::device::dir;

/// Bytes that a compressed archive may unpack to: it is kept in memory.
const ARCHIVE_MAX: u64 = 1 << 30;

/// A folder of the host: `HOST[::GUEST[:ro|rw]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// The folder.
    pub host: PathBuf,
    /// Its name for the program.
    pub guest: String,
    /// Read-only unless `rw`.
    pub rights: Rights,
}

impl FromStr for DirGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, guest) = match text.split_once("::") {
            None => (text, text),
            Some((host, guest)) => (host, guest),
        };
        // Without `::`, the name is the host's, which may have colons of its own.
        let (guest, rights) = if host.len() == text.len() {
            (guest, Rights::RO)
        } else {
            rights(guest)
        };
        if host.is_empty() || guest.is_empty() {
            return Err("expected HOST[::GUEST[:ro|rw]]".to_owned());
        }
        absolute(guest)?;
        Ok(DirGrant {
            host: host.into(),
            guest: guest.to_owned(),
            rights,
        })
    }
}

/// Any other device: `DEVICE:PATH[:ro|rw]`, where DEVICE is `memory`, `null`, `zero` or `archive=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountGrant {
    /// The device.
    pub device: Device,
    /// Where it is mounted.
    pub guest: String,
    /// Everything unless `ro`.
    pub rights: Rights,
}

/// The devices that the command line knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// An empty file system in memory.
    Memory,
    /// Reads as empty, takes everything.
    Null,
    /// Reads as zeroes, takes everything.
    Zero,
    /// A tar, plain or gzipped; read-only.
    Archive(PathBuf),
}

impl FromStr for MountGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected DEVICE:PATH[:ro|rw], where DEVICE is memory, null, zero or archive=FILE";
        let (text, rights) = match rights(text) {
            (rest, Rights::RO) if !text.ends_with(":ro") => (rest, Rights::RW),
            (rest, rights) => (rest, rights),
        };
        let (device, guest) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let device = match device.split_once('=') {
            Some(("archive", file)) if !file.is_empty() => Device::Archive(file.into()),
            None if device == "memory" => Device::Memory,
            None if device == "null" => Device::Null,
            None if device == "zero" => Device::Zero,
            _ => return Err(format!("no such device `{device}`; {EXPECTED}")),
        };
        if guest.is_empty() {
            return Err(EXPECTED.to_owned());
        }
        absolute(guest)?;
        Ok(MountGrant {
            device,
            guest: guest.to_owned(),
            rights,
        })
    }
}

fn rights(text: &str) -> (&str, Rights) {
    match text.rsplit_once(':') {
        Some((rest, "rw")) => (rest, Rights::RW),
        Some((rest, "ro")) => (rest, Rights::RO),
        _ => (text, Rights::RO),
    }
}

/// The path in the namespace at which a guest's name is mounted.
fn absolute(guest: &str) -> Result<String, String> {
    let names: Vec<&str> = guest
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    match names.contains(&"..") {
        true => Err(format!(
            "`{guest}` contains `..`, which means nothing in a namespace"
        )),
        false => Ok(format!("/{}", names.join("/"))),
    }
}

/// A grant of either kind, in the order of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A folder of the host.
    Dir(DirGrant),
    /// Another device.
    Mount(MountGrant),
    /// A capability.
    Capability(capfs_devices::grant::Grant),
}

/// Makes the namespace that has what was granted and nothing else.
///
/// Several grants at one path are united: the first is searched first, and the first that can be
/// written takes new files.
///
/// # Errors
/// A message that names the grant.
pub fn namespace(
    grants: &[Grant],
    capabilities: &mut Capabilities,
) -> Result<(Namespace, Vec<Preopen>), String> {
    let mut mounts = Vec::new();
    let mut preopens: Vec<Preopen> = Vec::new();
    // A capability is found by its first directory: all of /cap by one descriptor, behind the others.
    let mut tops: Vec<String> = Vec::new();
    for grant in grants {
        let (guest, rights) = match grant {
            Grant::Dir(grant) => (&grant.guest, grant.rights),
            Grant::Mount(grant) => (&grant.guest, grant.rights),
            Grant::Capability(grant) => (&grant.at, Rights::RW),
        };
        let path = absolute(guest)?;
        let root = match grant {
            Grant::Dir(grant) => dir::open(&grant.host).map_err(|error| {
                format!("can't open the folder `{}`: {error}", grant.host.display())
            })?,
            Grant::Mount(grant) => device(grant)?,
            Grant::Capability(grant) => {
                let top = path.split('/').nth(1).unwrap_or_default();
                tops.push(format!("/{top}"));
                for (at, node, rights) in capabilities.open(grant)? {
                    mounts.push((absolute(&at)?, node, rights));
                }
                continue;
            }
        };
        let known = preopens.iter().any(|preopen| preopen.path == path);
        if root.qid().kind == FileKind::Directory && !known {
            preopens.push(Preopen {
                name: guest.clone(),
                path: path.clone(),
            });
        }
        mounts.push((path, root, rights));
    }
    for top in tops {
        let reached = |preopen: &Preopen| preopen.path == top || preopen.path == "/";
        if !preopens.iter().any(reached) {
            preopens.push(Preopen {
                name: top.clone(),
                path: top,
            });
        }
    }
    // Outer directories first, or they would hide the inner ones; the sort keeps the order of equals.
    mounts.sort_by_key(|(path, _, _)| path.split('/').filter(|name| !name.is_empty()).count());
    let mut namespace = Namespace::new();
    let mut seen: Vec<String> = Vec::new();
    for (path, root, rights) in mounts {
        let flags = match seen.contains(&path) {
            true => BindFlags::AFTER.creating(),
            false => BindFlags::REPLACE,
        };
        namespace
            .mount(root, &path, rights, flags)
            .map_err(|errno| format!("can't mount anything at `{path}`: {errno}"))?;
        seen.push(path);
    }
    Ok((namespace, preopens))
}

fn device(grant: &MountGrant) -> Result<NodeRef, String> {
    Ok(match &grant.device {
        Device::Memory => MemoryFs::new(Arc::new(SystemClock), MemoryLimits::default()).root(),
        Device::Null => Null::node(),
        Device::Zero => Zero::node(),
        Device::Archive(file) => archive(file)
            .map_err(|error| format!("can't mount the archive `{}`: {error}", file.display()))?,
    })
}

fn archive(file: &Path) -> Result<NodeRef, String> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    let mut bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    if bytes.starts_with(GZIP) {
        let mut unpacked = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .take(ARCHIVE_MAX + 1)
            .read_to_end(&mut unpacked)
            .map_err(|error| format!("not a valid gzip file: {error}"))?;
        if unpacked.len() as u64 > ARCHIVE_MAX {
            return Err(format!("it unpacks to more than {ARCHIVE_MAX} bytes"));
        }
        bytes = unpacked;
    }
    Ok(Archive::from_tar(bytes)
        .map_err(|error| error.to_string())?
        .root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let parse = |text: &str| text.parse::<DirGrant>();
        let grant = parse("data").unwrap();
        assert_eq!((grant.guest.as_str(), grant.rights), ("data", Rights::RO));
        let grant = parse("/srv/a::/b:rw").unwrap();
        assert_eq!(grant.host, Path::new("/srv/a"));
        assert_eq!((grant.guest.as_str(), grant.rights), ("/b", Rights::RW));
        assert!(parse("::/b").is_err());
        assert!(parse("a::").is_err());
        assert!(parse("a::/b/../c").is_err());
    }

    #[test]
    fn devices() {
        let parse = |text: &str| text.parse::<MountGrant>();
        assert_eq!(parse("memory:/tmp").unwrap().rights, Rights::RW);
        assert_eq!(parse("memory:/tmp:ro").unwrap().rights, Rights::RO);
        let archive = parse("archive=a:b.tar:/usr").unwrap();
        assert_eq!(archive.device, Device::Archive("a:b.tar".into()));
        assert_eq!(archive.guest, "/usr");
        assert!(parse("archive=:/usr").is_err());
        assert!(parse("floppy:/a").is_err());
        assert!(parse("memory").is_err());
    }
}
