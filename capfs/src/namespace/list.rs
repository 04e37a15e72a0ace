//! The list of mounts and binds that a namespace is made of, as ns(1) prints it.
//!
//! A namespace is the outcome of a list of [`Operation`]s, done in order on an empty one. The list names devices and says
//! nothing else of them, so it can be kept, compared, sent elsewhere, and done again there with the devices of these names
//! ([`Namespace::build`](super::Namespace::build)).

use std::fmt;
use std::sync::Arc;

use super::{BindFlags, BindOrder};
use crate::{DEVICE_ID_MAX, Errno, NAME_MAX, NAMESPACE_ENTRIES_MAX, Name, PATH_MAX, Rights};

/// The name of a device: what it is, and which one, as `memory:scratch` or `fetch:/cap/fetch`.
///
/// Whoever mounts gives it, and it is stable: two mounts under one name are of one device, with one `dev`, and whoever makes the namespace
/// anew finds the device by it. What stands before the first colon is its [kind](DeviceId::kind). At most [`DEVICE_ID_MAX`] bytes.
/// Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Checks a name.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: more than [`DEVICE_ID_MAX`] bytes
    /// - [`Errno::Inval`]: without a kind, or with one of more than [`NAME_MAX`] bytes
    pub fn new(text: &str) -> Result<DeviceId, Errno> {
        if text.len() > DEVICE_ID_MAX {
            return Err(Errno::Nametoolong);
        }
        let id = DeviceId(text.into());
        let kind = id.kind().len();
        match kind == 0 || kind > NAME_MAX {
            true => Err(Errno::Inval),
            false => Ok(id),
        }
    }

    /// The name of a device of a kind: `kind:name`.
    ///
    /// # Errors
    /// As [`DeviceId::new`].
    pub fn named(kind: &str, name: &str) -> Result<DeviceId, Errno> {
        DeviceId::new(&[kind, name].join(":"))
    }

    /// The name, or, where another device has it, the name with the first number behind it (`+2`, `+3` …) that none has.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: that is longer than a name may be
    pub fn distinct(self, taken: impl Fn(&DeviceId) -> bool) -> Result<DeviceId, Errno> {
        let mut id = self.clone();
        for number in 2usize.. {
            if !taken(&id) {
                break;
            }
            id = DeviceId::new(&format!("{self}+{number}"))?;
        }
        Ok(id)
    }

    /// That of a device which nobody has named, the `number`th of its namespace.
    pub(super) fn unnamed(number: usize) -> DeviceId {
        DeviceId(format!("unnamed:{number}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of device it is: what stands before the first colon, or all of it.
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step in the making of a namespace. Paths are absolute, without `.`, `..` or needless slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A device's tree, or single file, is put somewhere.
    Mount {
        /// The device.
        device: DeviceId,
        /// What of it, as a path from its root; `/` for all of it.
        tree: String,
        /// Where.
        at: String,
        /// How.
        flags: BindFlags,
        /// What may be done there.
        rights: Rights,
    },
    /// What is at one path appears at another, too.
    Bind {
        /// What.
        from: String,
        /// Where.
        at: String,
        /// How.
        flags: BindFlags,
        /// What may be done there at most.
        rights: Rights,
    },
    /// Everything that is at a path is taken away.
    Unmount {
        /// Where.
        at: String,
    },
}

impl Operation {
    /// The same, with its paths as a list has them.
    ///
    /// # Errors
    /// As [`plain`] says of each path.
    pub(super) fn plain(self) -> Result<Operation, Errno> {
        Ok(match self {
            Operation::Mount {
                device,
                tree,
                at,
                flags,
                rights,
            } => Operation::Mount {
                device,
                tree: plain(&tree)?,
                at: plain(&at)?,
                flags,
                rights,
            },
            Operation::Bind {
                from,
                at,
                flags,
                rights,
            } => Operation::Bind {
                from: plain(&from)?,
                at: plain(&at)?,
                flags,
                rights,
            },
            Operation::Unmount { at } => Operation::Unmount { at: plain(&at)? },
        })
    }
}

/// An absolute path without `.` and needless slashes.
///
/// # Errors
/// - [`Errno::Nametoolong`]: over [`PATH_MAX`] bytes, which bounds how deep skeletons lie within each other, too; or a name that is too long
/// - [`Errno::Inval`]: not absolute, or with `..` or NUL in it
pub(super) fn plain(path: &str) -> Result<String, Errno> {
    if path.len() > PATH_MAX {
        return Err(Errno::Nametoolong);
    }
    if !path.starts_with('/') {
        return Err(Errno::Inval);
    }
    let mut plain = String::with_capacity(path.len());
    for name in names(path) {
        plain.push('/');
        plain.push_str(Name::new(name)?.as_str());
    }
    if plain.is_empty() {
        plain.push('/');
    }
    Ok(plain)
}

/// The names of a path.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

/// Writes a word as quote(2) has it, or, where it would not stay in its line, as POSIX shells have it behind a dollar.
fn quoted(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    if word.contains(char::is_control) {
        f.write_str("$'")?;
        let mut bytes = [0; 4];
        for char in word.chars() {
            match char {
                '\'' | '\\' => write!(f, "\\{char}")?,
                char if char.is_control() => {
                    let mut bytes = char.encode_utf8(&mut bytes).bytes();
                    bytes.try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
                }
                char => write!(f, "{char}")?,
            }
        }
        return f.write_str("'");
    }
    let plain = |char: char| !char.is_whitespace() && char != '\'';
    match !word.is_empty() && word.chars().all(plain) && !word.starts_with(['#', '-', '$']) {
        true => f.write_str(word),
        false => write!(f, "'{}'", word.replace('\'', "''")),
    }
}

/// The names of rights in a text.
pub(super) const RIGHTS: [(&str, Rights); 4] = [
    ("read", Rights::READ),
    ("write", Rights::WRITE),
    ("create", Rights::CREATE),
    ("remove", Rights::REMOVE),
];

/// Writes options, each with a blank behind it.
fn options(f: &mut fmt::Formatter<'_>, flags: BindFlags, rights: Rights) -> fmt::Result {
    f.write_str(match flags.order {
        BindOrder::Replace => "",
        BindOrder::Before => "-b ",
        BindOrder::After => "-a ",
    })?;
    f.write_str(if flags.create { "-c " } else { "" })?;
    if rights == Rights::all() {
        return Ok(());
    }
    f.write_str("-o ")?;
    let mut separator = "";
    for (name, right) in RIGHTS {
        if rights.contains(right) {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
    }
    f.write_str(if rights.is_empty() { "none " } else { " " })
}

/// Its line, without an end.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Mount {
                device,
                tree,
                at,
                flags,
                rights,
            } => {
                f.write_str("mount ")?;
                options(f, *flags, *rights)?;
                quoted(f, device.as_str())?;
                f.write_str(" ")?;
                quoted(f, at)?;
                if tree != "/" {
                    f.write_str(" ")?;
                    quoted(f, tree)?;
                }
                Ok(())
            }
            Operation::Bind {
                from,
                at,
                flags,
                rights,
            } => {
                f.write_str("bind ")?;
                options(f, *flags, *rights)?;
                quoted(f, from)?;
                f.write_str(" ")?;
                quoted(f, at)
            }
            Operation::Unmount { at } => {
                f.write_str("unmount ")?;
                quoted(f, at)
            }
        }
    }
}

/// What a namespace is made of: [`Operation`]s, in order, at most [`NAMESPACE_ENTRIES_MAX`].
///
/// # Text
/// A line an operation, in words that are separated by blanks and quoted as in quote(2): a word with a blank or a quote in it, an empty one,
/// and one that begins with `#`, `-` or `$` stand in single quotes, a quote within them is written twice. One with control characters is written as
/// in a POSIX shell, `$'…'`, with `\xHH` for each byte of those, `\\` and `\'`: a line stays one. Empty lines and those that begin
/// with `#` say nothing, as in namespace(6).
/// ```text
/// mount [-a|-b] [-c] [-o RIGHTS] DEVICE AT [TREE]
/// bind [-a|-b] [-c] [-o RIGHTS] FROM AT
/// unmount AT
/// ```
/// - `-a`, `-b`, `-c`: bind(1)'s; see [`BindFlags`]
/// - `-o RIGHTS`: `read`, `write`, `create`, `remove` with commas between, or `none`; everything without it
/// - `DEVICE`: a [`DeviceId`]; `TREE`: the path of the device's directory (or file) that is mounted, its root without it
/// - `AT`, `FROM`: absolute paths
///
/// One operation has one text, so lists are equal exactly if their texts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceList {
    operations: Vec<Operation>,
    /// The devices, in the order in which they are first named.
    devices: Vec<DeviceId>,
}

impl NamespaceList {
    /// A list of nothing.
    pub fn new() -> NamespaceList {
        NamespaceList::default()
    }

    /// The operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The devices, each once, in the order in which they are first mounted.
    pub fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// Puts an operation at the end. Its paths lose what is needless in them.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: there are [`NAMESPACE_ENTRIES_MAX`]
    /// - [`Errno::Inval`], [`Errno::Nametoolong`]: a path that is not absolute, has `..` or too many bytes
    pub fn push(&mut self, operation: Operation) -> Result<(), Errno> {
        self.room()?;
        let operation = operation.plain()?;
        self.add(operation);
        Ok(())
    }

    /// Whether there is room for one more.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: there is none
    pub(super) fn room(&self) -> Result<(), Errno> {
        match self.operations.len() < NAMESPACE_ENTRIES_MAX {
            true => Ok(()),
            false => Err(Errno::Nospc),
        }
    }

    /// [`NamespaceList::push`], once its errors are out of the way.
    pub(super) fn add(&mut self, operation: Operation) {
        if let Operation::Mount { device, .. } = &operation
            && self.index(device) == self.devices.len()
        {
            self.devices.push(device.clone());
        }
        self.operations.push(operation);
    }

    /// The index of a device, or the one that it will have.
    pub(super) fn index(&self, device: &DeviceId) -> usize {
        let known = self.devices.iter().position(|known| known == device);
        known.unwrap_or(self.devices.len())
    }

    /// The list as its agent may see it: of devices it has the kind and the number that is their `dev` there, as `dir#2`, not
    /// the name or the path within them, which may be the host's own.
    pub fn shown(&self) -> NamespaceList {
        let shown = |device: &DeviceId| {
            let number = self.index(device) + super::FIRST_DEVICE as usize;
            DeviceId(format!("{}#{number}", device.kind()).into())
        };
        let operations = self.operations.iter().cloned();
        let operations = operations.map(|operation| match operation {
            Operation::Mount {
                device,
                at,
                flags,
                rights,
                ..
            } => Operation::Mount {
                device: shown(&device),
                tree: "/".to_owned(),
                at,
                flags,
                rights,
            },
            operation => operation,
        });
        NamespaceList {
            operations: operations.collect(),
            devices: self.devices.iter().map(shown).collect(),
        }
    }
}

/// A line for each operation.
impl fmt::Display for NamespaceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operations = self.operations.iter();
        operations.try_for_each(|operation| writeln!(f, "{operation}"))
    }
}
