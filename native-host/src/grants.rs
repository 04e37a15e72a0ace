//! What the command line and manifests grant, as mounts of a namespace.
//!
//! Nothing is granted by default. Each grant is a mount; each mounted directory is handed to the
//! program as a preopened directory, named as it was written, in the order of the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use capfs::account::Account;
use capfs::device::gate::Gate;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::ns::Ns;
use capfs::device::null::Null;
use capfs::device::zero::Zero;
use capfs::{DeviceId, Errno, FileKind, Mounted, Namespace, NodeRef, PATH_MAX, Rights};
use capfs_native_devices::Support;
use capfs_runtime::Preopen;

use crate::archives::{Archives, Unusable};
use crate::capabilities::{Capabilities, Held};
use crate::clock::SystemClock;
use crate::device::dir::{HostFolder, Numbers};
use crate::manifest::{Need, Place, Want};
use crate::reserved::{Bars, FileId};
use crate::secrets;

/// A folder of the host: `HOST[::GUEST[:ro|rw]]`. A name with a colon in it needs the rights behind it.
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
        let (guest, rights) = match host.len() == text.len() {
            true => (guest, Rights::RO),
            false => match rights(guest) {
                (guest, None) => match guest.rsplit_once(':') {
                    Some((_, ending)) => return Err(no_rights(ending)),
                    None => (guest, Rights::RO),
                },
                (guest, Some(rights)) => (guest, rights),
            },
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
    /// Everything unless `ro`; of an archive reading alone.
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
    /// What the namespace that it is in is made of, as a text; read-only.
    Ns,
    /// A tar, plain or gzipped; read-only.
    Archive(PathBuf),
}

impl Device {
    /// The rights at its mount: those that are asked for, or else all that it has.
    ///
    /// # Errors
    /// A message, where it has not as many.
    pub fn rights(&self, asked: Option<Rights>) -> Result<Rights, String> {
        match (self, asked) {
            (Device::Archive(_), Some(Rights::RW)) => {
                Err("an archive is read-only: its rights can't be rw".to_owned())
            }
            (Device::Ns, Some(Rights::RW)) => {
                Err("the text of a namespace is read-only: its rights can't be rw".to_owned())
            }
            (Device::Archive(_) | Device::Ns, _) => Ok(Rights::RO),
            (_, asked) => Ok(asked.unwrap_or(Rights::RW)),
        }
    }
}

impl FromStr for MountGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected DEVICE:PATH[:ro|rw], where DEVICE is memory, null, zero, ns or archive=FILE";
        let (text, rights) = rights(text);
        let (device, guest) = match text.split_once(':') {
            Some((device @ ("memory" | "null" | "zero" | "ns"), guest)) => {
                if let (Some((_, ending)), None) = (guest.rsplit_once(':'), rights) {
                    return Err(no_rights(ending));
                }
                (device, guest)
            }
            _ => text.rsplit_once(':').ok_or(EXPECTED)?,
        };
        let device = match device.split_once('=') {
            Some(("archive", file)) if !file.is_empty() => Device::Archive(file.into()),
            None if device == "memory" => Device::Memory,
            None if device == "null" => Device::Null,
            None if device == "zero" => Device::Zero,
            None if device == "ns" => Device::Ns,
            _ => return Err(format!("no such device `{device}`; {EXPECTED}")),
        };
        if guest.is_empty() {
            return Err(EXPECTED.to_owned());
        }
        absolute(guest)?;
        Ok(MountGrant {
            rights: device.rights(rights)?,
            device,
            guest: guest.to_owned(),
        })
    }
}

/// What stands before the rights at a text's end, and those, if there are any.
fn rights(text: &str) -> (&str, Option<Rights>) {
    match text.rsplit_once(':') {
        Some((rest, "rw")) => (rest, Some(Rights::RW)),
        Some((rest, "ro")) => (rest, Some(Rights::RO)),
        _ => (text, None),
    }
}

/// That something stands where rights do: taken for a part of the name, it would be noticed by nobody.
fn no_rights(ending: &str) -> String {
    format!(
        "what is behind the last colon, `{ending}`, is neither ro nor rw; a name with a colon in it needs one of them behind it"
    )
}

/// The path in the namespace at which a guest's name is mounted.
///
/// # Errors
/// A message for a name with `..` in it, and for one of more than [`PATH_MAX`] bytes.
pub fn absolute(guest: &str) -> Result<String, String> {
    if guest.len() > PATH_MAX {
        let length = guest.len();
        return Err(format!(
            "a path of {length} bytes; one has {PATH_MAX} at most"
        ));
    }
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

/// Something that can't be given here, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Its path in the namespace.
    pub at: String,
    /// What was asked for, in a word or two.
    pub what: String,
    /// Why it can't be given.
    pub why: String,
    /// What may help.
    pub hint: Option<&'static str>,
    /// Whether some of it is there.
    pub partly: bool,
    /// What the agent misses then, as far as a manifest says so.
    pub without: Option<String>,
    /// Where a manifest asks for it.
    pub place: Option<Place>,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        // What the command line asks for is named by the reason.
        if self.place.is_some() {
            write!(f, "{} at {}: ", self.what, self.at)?;
        }
        f.write_str(&self.why)?;
        match &self.without {
            Some(without) => write!(f, "; {without}"),
            None => Ok(()),
        }
    }
}

impl Grant {
    /// Where it appears, as it is written.
    pub fn guest(&self) -> &str {
        match self {
            Grant::Dir(grant) => &grant.guest,
            Grant::Mount(grant) => &grant.guest,
            Grant::Capability(grant) => &grant.at,
        }
    }

    fn is_ns(&self) -> bool {
        matches!(self, Grant::Mount(mount) if mount.device == Device::Ns)
    }

    /// What it is, in a word or two.
    pub fn what(&self) -> String {
        match self {
            Grant::Dir(grant) => format!("folder {}", grant.host.display()),
            Grant::Mount(grant) => match &grant.device {
                Device::Memory => "memory".to_owned(),
                Device::Null => "null".to_owned(),
                Device::Zero => "zero".to_owned(),
                Device::Ns => "ns".to_owned(),
                Device::Archive(file) => format!("archive {}", file.display()),
            },
            Grant::Capability(grant) => grant.device.name().to_owned(),
        }
    }
}

impl Want {
    /// That it is not there, or not whole.
    pub fn lack(&self, why: String, partly: bool) -> Lack {
        Lack {
            at: self.grant.guest().to_owned(),
            what: self.grant.what(),
            why,
            hint: None,
            partly,
            without: match &self.need {
                Need::Optional(without) if !partly => without.clone(),
                _ => None,
            },
            place: self.place.clone(),
        }
    }

    /// What is missing here of what is asked for, as far as it is known before anything is made.
    pub fn examine(&self, capabilities: &Capabilities) -> Option<Lack> {
        match &self.grant {
            Grant::Dir(grant) => {
                let refused = open_folder(grant, capabilities).err()?;
                Some(Lack {
                    hint: refused.hint,
                    ..self.lack(refused.why, false)
                })
            }
            Grant::Mount(grant) => match &grant.device {
                Device::Archive(file) if !file.exists() => {
                    let file = file.display();
                    let why = format!("can't mount the archive `{file}`: it is not there");
                    Some(self.lack(why, false))
                }
                _ => None,
            },
            Grant::Capability(grant) => match capabilities.support(grant) {
                Support::Whole => {
                    let why = secrets::resolved(grant).err()?;
                    Some(self.lack(why, false))
                }
                Support::Part(why) => Some(self.lack(why.to_owned(), true)),
                Support::Nothing(why) if self.place.is_some() => {
                    Some(self.lack(why.to_owned(), false))
                }
                Support::Nothing(why) => {
                    let why = format!("can't grant `{}`: {why}", grant.shown());
                    Some(self.lack(why, false))
                }
            },
        }
    }

    /// That there is a capability at its path already.
    fn taken(&self, places: &capfs_devices::grant::Places) -> Option<Lack> {
        let Grant::Capability(grant) = &self.grant else {
            return None;
        };
        let clash = places.clash(grant)?;
        let why = format!("can't grant `{}`: {clash}", grant.shown());
        Some(self.lack(why, false))
    }
}

/// The namespace that an agent starts with.
pub struct Granted {
    /// Its files.
    pub namespace: Namespace,
    /// Directories that it finds open.
    pub preopens: Vec<Preopen>,
    /// What it has to do without.
    pub degraded: Vec<Lack>,
    /// Archives of which something is left out, and what: a text each, for the user.
    pub left_out: Vec<String>,
    /// What a manifest asked for, and how it is taken away again.
    pub revocable: Vec<(Grant, Revocable)>,
}

/// Takes something away while the agent runs.
#[derive(Clone)]
pub enum Revocable {
    /// A capability.
    Held(Held),
    /// A folder or another device.
    Mount(Gate),
}

impl Revocable {
    /// Takes it away, for good: whatever is done with it from then on is `ENODEV`.
    pub fn revoke(&self) {
        match self {
            Revocable::Held(held) => held.revoke(),
            Revocable::Mount(gate) => gate.revoke(),
        }
    }
}

/// Makes the namespace that has what was granted and nothing else.
///
/// Several grants at one path are united: the first is searched first, and the first that can be
/// written takes new files. `memory` bounds each file system in memory, beside the agent's account.
///
/// # Errors
/// Everything that is required and can't be given.
pub fn namespace(
    wants: &[Want],
    memory: MemoryLimits,
    capabilities: &mut Capabilities,
) -> Result<Granted, Vec<Lack>> {
    let mut mounts = Vec::new();
    let mut preopens: Vec<Preopen> = Vec::new();
    let mut tops: Vec<String> = Vec::new();
    let mut devices = Devices::default();
    let (mut missing, mut degraded, mut revocable) = (Vec::new(), Vec::new(), Vec::new());
    for want in wants {
        let lack = match want.examine(capabilities) {
            // The command line is answered by the device itself, as it always was.
            Some(lack) if lack.partly => {
                degraded.extend(lack.place.is_some().then_some(lack));
                None
            }
            lack => lack,
        };
        let opened = match lack.or_else(|| want.taken(capabilities.places())) {
            Some(lack) => Err(lack),
            None => open(&want.grant, memory, &mut devices, capabilities).map_err(|refused| Lack {
                hint: refused.hint,
                ..want.lack(refused.why, false)
            }),
        };
        let mut opened = match (opened, &want.need) {
            (Ok(opened), _) => opened,
            (Err(lack), Need::Required) => {
                missing.push(lack);
                continue;
            }
            (Err(lack), Need::Optional(_)) => {
                degraded.push(lack);
                continue;
            }
        };
        if want.place.is_some() {
            let handle = handle(&want.grant, &mut opened, capabilities);
            revocable.extend(handle.map(|handle| (want.grant.clone(), handle)));
        }
        let guest = want.grant.guest();
        for mounted in opened {
            let path = &mounted.at;
            if let Grant::Capability(_) = want.grant {
                tops.push(path.clone());
            } else if want.grant.is_ns() {
                // Found by the directory that it is in, as it is none.
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                tops.push(parent.to_owned());
            } else if mounted.root.qid().kind == FileKind::Directory
                && !preopens.iter().any(|preopen| preopen.path == *path)
            {
                preopens.push(Preopen {
                    name: guest.to_owned(),
                    path: path.clone(),
                });
            }
            mounts.push(mounted);
        }
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    reach(tops.iter().map(String::as_str), &mut preopens);
    let namespace = mounted(mounts, capabilities.account())?;
    if let Some(ns) = &devices.ns {
        ns.show(&namespace);
    }
    Ok(Granted {
        namespace,
        preopens,
        degraded,
        left_out: devices.archives.left_out,
        revocable,
    })
}

/// By what something that was opened last can be taken away again: capabilities have a gate, mounts get one.
fn handle(grant: &Grant, opened: &mut [Mounted], capabilities: &Capabilities) -> Option<Revocable> {
    if let Grant::Capability(_) = grant {
        return capabilities.held().last().cloned().map(Revocable::Held);
    }
    let mounted = opened.first_mut()?;
    let (gate, gated) = Gate::new(mounted.root.clone(), None);
    mounted.root = gated;
    Some(Revocable::Mount(gate))
}

/// Opens what capabilities at these paths are found by: the first directory of each, so all of /cap by one descriptor,
/// behind the others.
pub fn reach<'a>(paths: impl Iterator<Item = &'a str>, preopens: &mut Vec<Preopen>) {
    for path in paths {
        let top = path.split('/').find(|name| !name.is_empty());
        let top = format!("/{}", top.unwrap_or_default());
        let reached = |preopen: &Preopen| preopen.path == top || preopen.path == "/";
        if !preopens.iter().any(reached) {
            preopens.push(Preopen {
                name: top.clone(),
                path: top,
            });
        }
    }
}

/// Makes a namespace of trees, for the agent of an account; those at one path are united, the first of them searched first.
///
/// # Errors
/// What can't be mounted.
pub fn mounted(mounts: Vec<Mounted>, account: &Account) -> Result<Namespace, Vec<Lack>> {
    let mut namespace = Namespace::new();
    namespace.charge(account);
    namespace.mount_all(&mounts).map_err(|(index, errno)| {
        let path = &mounts[index].at;
        vec![Lack {
            at: path.clone(),
            what: "a mount".to_owned(),
            why: format!("can't mount anything at `{path}`: {errno}"),
            hint: None,
            partly: false,
            without: None,
            place: None,
        }]
    })?;
    Ok(namespace)
}

/// The devices of one agent as they are made: each has a name of its own, by which it is in the list of the agent's namespace.
///
/// What a grant makes is named for where it is (`memory:/tmp`, `fetch:/cap/fetch`), what is the host's own for where the host has it
/// (`dir:/srv/x`). A folder or archive that is granted twice is one device.
#[derive(Default)]
struct Devices {
    archives: Archives,
    /// Those of what is the host's own by which file or folder it is.
    named: Vec<(Option<FileId>, DeviceId)>,
    /// Of folders.
    numbers: Vec<(FileId, Arc<Numbers>)>,
    /// The text of the namespace, one wherever it is mounted.
    ns: Option<Ns>,
}

impl Devices {
    /// The name of a device of a kind.
    ///
    /// # Errors
    /// That it would be too long.
    fn name(&mut self, kind: &str, name: &str, own: Option<FileId>) -> Result<DeviceId, String> {
        let same = |(known, id): &&(Option<FileId>, DeviceId)| {
            known.is_some() && *known == own && id.kind() == kind
        };
        if let Some((_, id)) = self.named.iter().find(same) {
            return Ok(id.clone());
        }
        let id = DeviceId::named(kind, name);
        let id =
            id.and_then(|id| id.distinct(|id| self.named.iter().any(|(_, known)| known == id)));
        let id =
            id.map_err(|errno: Errno| format!("can't name the device `{kind}:{name}`: {errno}"))?;
        self.named.push((own, id.clone()));
        Ok(id)
    }

    /// The numbers of the files of a folder.
    fn numbers(&mut self, folder: FileId, account: &Account) -> Arc<Numbers> {
        let known = self.numbers.iter().find(|(known, _)| *known == folder);
        if let Some((_, numbers)) = known {
            return numbers.clone();
        }
        let numbers = Arc::new(Numbers::new(account));
        self.numbers.push((folder, numbers.clone()));
        numbers
    }

    /// The name of something that the host has at a path.
    ///
    /// # Errors
    /// As [`Devices::name`]; or the path of this process's own folder can't be told.
    fn name_own(
        &mut self,
        kind: &str,
        path: &Path,
        own: Option<FileId>,
    ) -> Result<DeviceId, String> {
        let whole = std::path::absolute(path);
        let whole =
            whole.map_err(|error| format!("can't tell where `{}` is: {error}", path.display()))?;
        self.name(kind, &whole.to_string_lossy(), own)
    }
}

/// Opens or makes what a grant stands for. Of an archive of which something is left out it is told.
fn open(
    grant: &Grant,
    memory: MemoryLimits,
    devices: &mut Devices,
    capabilities: &mut Capabilities,
) -> Result<Vec<Mounted>, Refused> {
    let at = absolute(grant.guest())?;
    match grant {
        Grant::Dir(grant) => {
            let account = capabilities.account();
            let (folder, bars) = open_folder(grant, capabilities)?;
            let id = folder.id().map_err(|error| unopened(grant, error))?;
            let root = folder.root(bars, account, devices.numbers(id, account));
            Ok(vec![Mounted {
                at,
                device: devices.name_own("dir", &grant.host, Some(id))?,
                root: root.map_err(|error| unopened(grant, error))?,
                rights: grant.rights,
            }])
        }
        Grant::Mount(grant) => {
            let (device, root) = device(grant, &at, memory, devices, capabilities.account())?;
            Ok(vec![Mounted {
                at,
                device,
                root,
                rights: grant.rights,
            }])
        }
        Grant::Capability(grant) => {
            let opened = capabilities.open(grant)?.into_iter();
            let opened = opened.map(|(at, root, rights)| {
                let at = absolute(&at)?;
                Ok(Mounted {
                    device: devices.name(grant.device.name(), &at, None)?,
                    at,
                    root,
                    rights,
                })
            });
            opened.collect()
        }
    }
}

/// Why something is not granted.
struct Refused {
    why: String,
    hint: Option<&'static str>,
}

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused { why, hint: None }
    }
}

/// That a folder can't be opened.
fn unopened(grant: &DirGrant, error: std::io::Error) -> Refused {
    // As other programs' options have it.
    let one_colon = error.kind() == std::io::ErrorKind::NotFound
        && grant.host.as_os_str() == grant.guest.as_str()
        && grant.guest.contains(':');
    Refused {
        why: format!("can't open the folder `{}`: {error}", grant.host.display()),
        hint: one_colon.then_some(
            "a folder and its name for the program are HOST::GUEST, and HOST::GUEST:rw to let it write there",
        ),
    }
}

/// Opens a folder that may be granted, and says what of it may not.
fn open_folder(
    grant: &DirGrant,
    capabilities: &Capabilities,
) -> Result<(HostFolder, Bars), Refused> {
    let folder = HostFolder::open(&grant.host).map_err(|error| unopened(grant, error))?;
    let writable = grant.rights != Rights::RO;
    let reserved = capabilities.reserved();
    let bars = reserved.check(&folder, writable).map_err(|conflict| {
        let to_be = if writable {
            "to be written"
        } else {
            "to be read"
        };
        let host = grant.host.display();
        Refused {
            why: format!("can't grant the folder `{host}` {to_be}: {}", conflict.why),
            hint: Some(conflict.hint),
        }
    })?;
    Ok((folder, bars))
}

/// The name of a device that is mounted at a path, and its tree.
fn device(
    grant: &MountGrant,
    at: &str,
    memory: MemoryLimits,
    devices: &mut Devices,
    account: &Account,
) -> Result<(DeviceId, NodeRef), Refused> {
    Ok(match &grant.device {
        Device::Memory => {
            let files = MemoryFs::charged(Arc::new(SystemClock), memory, account);
            (devices.name("memory", at, None)?, files.root())
        }
        Device::Null => (devices.name("null", at, None)?, Null::node()),
        Device::Zero => (devices.name("zero", at, None)?, Zero::node()),
        Device::Ns => {
            let ns = devices.ns.get_or_insert_with(|| Ns::new(account));
            (
                DeviceId::new("ns").map_err(|errno| errno.to_string())?,
                ns.node(),
            )
        }
        Device::Archive(file) => {
            let archive = devices.archives.open(file, account);
            let (archive, own) = archive.map_err(|unusable| Refused {
                why: format!("can't mount the archive `{}`: {unusable}", file.display()),
                hint: match unusable {
                    Unusable::Memory => {
                        Some("an archive is kept in memory: `--max-memory` sets how much there is")
                    }
                    _ => None,
                },
            })?;
            (devices.name_own("archive", file, own)?, archive.root())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn folders() {
        let parse = |text: &str| text.parse::<DirGrant>();
        let grant = parse("data").unwrap();
        assert_eq!((grant.guest.as_str(), grant.rights), ("data", Rights::RO));
        let grant = parse("/srv/a::/b:rw").unwrap();
        assert_eq!(grant.host, Path::new("/srv/a"));
        assert_eq!((grant.guest.as_str(), grant.rights), ("/b", Rights::RW));
        for ending in ["wr", "RW", "rx", "", "/x"] {
            let error = parse(&format!("a::/b:{ending}")).unwrap_err();
            assert!(error.contains("neither ro nor rw"), "{error}");
        }
        assert_eq!(parse("a::/b:c:ro").unwrap().guest, "/b:c");
        assert_eq!(parse("a:b").unwrap().host, Path::new("a:b"));
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
        assert_eq!(archive.rights, Rights::RO);
        assert_eq!(parse("archive=a:b.tar:/usr:ro").unwrap(), archive);
        let error = parse("archive=a:b.tar:/usr:rw").unwrap_err();
        assert!(error.contains("an archive is read-only"), "{error}");
        for device in ["memory", "null", "zero"] {
            let error = parse(&format!("{device}:/m:wr")).unwrap_err();
            assert!(error.contains("neither ro nor rw"), "{error}");
        }
        assert_eq!(parse("memory:/a:b:ro").unwrap().guest, "/a:b");
        assert!(parse("archive=:/usr").is_err());
        assert!(parse("floppy:/a").is_err());
        assert!(parse("memory").is_err());
    }

    #[test]
    fn paths_have_a_length() {
        let longest = "/a".repeat(PATH_MAX / 2);
        assert_eq!(absolute(&longest).unwrap(), longest);
        assert!(absolute(&format!("{longest}/")).is_err());
        let deep = "/a".repeat(100_000);
        assert!(format!("memory:{deep}").parse::<MountGrant>().is_err());
        assert!(format!("x::{deep}").parse::<DirGrant>().is_err());
    }
}
