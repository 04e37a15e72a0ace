//! What the keys of a manifest mean.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use capfs::{MOUNTS_MAX, Rights};
use capfs_devices::grant::{DeviceKind, Grant as Capability, GrantError, Term};
use capfs_devices::identity::{Identity, read_digest};
use capfs_devices::storage::paths_beside;
use capfs_devices::terms;
use capfs_runtime::ClockGrant;

use super::tree::{Key, Node, Problem, Value};
use super::{Bounds, Manifest, Need, Places, Variable, Want};
use crate::grants::{Device, DirGrant, Grant, MountGrant, absolute};
use crate::listen::ListenGrant;
use crate::secrets;

/// Keys that say whether the agent can do without something.
const NEED: [&str; 3] = ["required", "optional", "without"];

/// Reads a manifest's tree; `folder` is what its places are relative to.
pub(super) fn manifest(
    tree: &Node,
    places: &Places<'_>,
    folder: &Path,
) -> Result<Manifest, Vec<Problem>> {
    const KNOWN: &[&str] = &["agent", "env", "limits", "mounts", "grants"];
    let mut reader = Reader {
        places,
        folder,
        problems: Vec::new(),
        manifest: Manifest::default(),
        variables: HashSet::new(),
        taken: HashMap::new(),
        full: false,
    };
    let mut grants = None;
    for (key, node) in reader.table(tree) {
        match key.name.as_str() {
            "agent" => reader.agent(node),
            "env" => reader.env(node),
            "limits" => reader.limits(node),
            "mounts" => reader.mounts(node),
            // Behind the mounts, wherever they stand.
            "grants" => grants = Some(node),
            _ => reader.unknown(key, "a manifest", KNOWN),
        }
    }
    if let Some(node) = grants {
        reader.grants(node);
    }
    let Reader {
        mut problems,
        manifest,
        ..
    } = reader;
    problems.sort_by_key(|problem| problem.at);
    match problems.is_empty() {
        true => Ok(manifest),
        false => Err(problems),
    }
}

struct Reader<'a> {
    places: &'a Places<'a>,
    folder: &'a Path,
    problems: Vec<Problem>,
    manifest: Manifest,
    /// Names of variables that are there.
    variables: HashSet<String>,
    /// Paths at which something is mounted, and where the manifest says so.
    taken: HashMap<String, usize>,
    /// Whether more is asked for than there can be.
    full: bool,
}

impl Reader<'_> {
    fn wrong(&mut self, at: usize, text: impl Into<String>) {
        self.problems.push(Problem::new(at, text));
    }

    /// Keeps what is right, and complains of what is not.
    fn checked<T>(&mut self, at: usize, outcome: Result<T, impl std::fmt::Display>) -> Option<T> {
        outcome
            .map_err(|error| self.wrong(at, error.to_string()))
            .ok()
    }

    fn unknown(&mut self, key: &Key, whose: &str, known: &[&str]) {
        let known = known.join(", ");
        let text = format!("{whose} has no `{}`; it has {known}", key.name);
        self.wrong(key.at, text);
    }

    fn expected(&mut self, node: &Node, what: &str) {
        let text = format!("expected {what} instead of {}", node.value.kind());
        self.wrong(node.at, text);
    }

    fn table<'t>(&mut self, node: &'t Node) -> &'t [(Key, Node)] {
        match &node.value {
            Value::Table(entries) => entries,
            _ => {
                self.expected(node, "a table");
                &[]
            }
        }
    }

    /// A list, or what stands for a list of one.
    fn list<'t>(&mut self, node: &'t Node) -> Vec<&'t Node> {
        match &node.value {
            Value::List(nodes) => nodes.iter().collect(),
            _ => vec![node],
        }
    }

    /// A text that can be given to a program.
    fn text(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if text.contains('\0') => {
                self.wrong(node.at, "a text can't contain the byte 0");
                None
            }
            Value::Text(text) => Some(text.clone()),
            _ => {
                self.expected(node, "a text");
                None
            }
        }
    }

    fn texts(&mut self, node: &Node) -> Vec<String> {
        let list = self.list(node);
        list.into_iter()
            .filter_map(|node| self.text(node))
            .collect()
    }

    fn yes(&mut self, node: &Node) -> Option<bool> {
        match node.value {
            Value::Yes(yes) => Some(yes),
            _ => {
                self.expected(node, "true or false");
                None
            }
        }
    }

    /// A place of this machine.
    fn file(&mut self, node: &Node) -> Option<PathBuf> {
        let text = self.text(node)?;
        match text.is_empty() {
            true => {
                self.wrong(node.at, "expected a path");
                None
            }
            false => Some(self.folder.join(text)),
        }
    }

    /// A text or a number, which one of the grammar's readers takes.
    fn quantity<T>(
        &mut self,
        key: &Key,
        node: &Node,
        read: impl Fn(&Term) -> Result<T, GrantError>,
    ) -> Option<T> {
        let (Value::Text(value) | Value::Number(value)) = &node.value else {
            self.expected(node, "a text or a number");
            return None;
        };
        let term = Term {
            key: key.name.clone(),
            value: value.clone(),
        };
        self.checked(node.at, read(&term))
    }

    fn agent(&mut self, node: &Node) {
        const KNOWN: &[&str] = &[
            "program",
            "digest",
            "id",
            "args",
            "inherit-env",
            "clock",
            "random",
            "listen",
        ];
        for (key, node) in self.table(node) {
            match key.name.as_str() {
                "program" => self.manifest.program = self.file(node),
                "digest" => self.manifest.program_digest = self.digest(node),
                "id" => {
                    let id = self.text(node).map(|text| Identity::named(&text));
                    self.manifest.id = id.and_then(|id| self.checked(node.at, id));
                }
                "args" => self.manifest.args = self.texts(node),
                "inherit-env" => {
                    for node in self.list(node) {
                        let name = self.text(node);
                        self.variable(node.at, name, None);
                    }
                }
                "clock" => self.manifest.clock = self.clock(key, node),
                "random" => self.manifest.random = self.yes(node),
                "listen" => {
                    for node in self.list(node) {
                        let address = self.text(node).map(|text| text.parse::<ListenGrant>());
                        let address = address.and_then(|parsed| self.checked(node.at, parsed));
                        self.manifest.listen.extend(address);
                    }
                }
                _ => self.unknown(key, "agent", KNOWN),
            }
        }
    }

    fn digest(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let digest = read_digest(&text);
        if digest.is_none() {
            self.wrong(node.at, "expected `sha256:` and 64 hexadecimal digits");
        }
        digest
    }

    fn clock(&mut self, key: &Key, node: &Node) -> Option<ClockGrant> {
        match &node.value {
            Value::Text(text) if text == "exact" => Some(ClockGrant::Exact),
            Value::Text(text) if text == "none" => Some(ClockGrant::Nothing),
            _ => {
                let step = self.quantity(key, node, |term| match term.millis() {
                    Ok(millis @ 1..) => Ok(millis),
                    _ => Err(term.expected("expected exact, none, or the length of a step")),
                })?;
                Some(ClockGrant::Steps(step.saturating_mul(1_000_000)))
            }
        }
    }

    fn env(&mut self, node: &Node) {
        for (key, node) in self.table(node) {
            let value = match &node.value {
                Value::Number(number) => Some(number.clone()),
                _ => self.text(node),
            };
            if let Some(value) = value {
                self.variable(key.at, Some(key.name.clone()), Some(value));
            }
        }
    }

    fn variable(&mut self, at: usize, name: Option<String>, value: Option<String>) {
        let Some(name) = name else {
            return;
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            return self.wrong(at, "expected the name of a variable");
        }
        if !self.variables.insert(name.clone()) {
            return self.wrong(at, format!("the variable `{name}` is there already"));
        }
        self.manifest.env.push(Variable { name, value });
    }

    fn limits(&mut self, node: &Node) {
        const KNOWN: &[&str] = &["memory", "time", "files", "storage"];
        let mut limits = Bounds::default();
        let size = |term: &Term| {
            let size = term.size()?;
            usize::try_from(size).map_err(|_| term.expected("expected a smaller size"))
        };
        for (key, node) in self.table(node) {
            match key.name.as_str() {
                "memory" => limits.memory = self.quantity(key, node, size),
                "time" => {
                    let millis = self.quantity(key, node, Term::millis);
                    limits.time = millis.map(Duration::from_millis);
                }
                "files" => {
                    limits.files = self.quantity(key, node, |term| {
                        let count = u32::try_from(term.count()?);
                        count.map_err(|_| term.expected("expected a smaller number"))
                    });
                }
                "storage" => limits.storage = self.quantity(key, node, Term::size),
                _ => self.unknown(key, "limits", KNOWN),
            }
        }
        self.manifest.limits = limits;
    }

    /// That nothing else is at a path.
    fn take(&mut self, at: usize, path: &str) {
        match self.taken.get(path) {
            Some(before) => {
                let line = self.places.line(*before);
                let text = format!("something is mounted at `{path}` already, by line {line}");
                self.wrong(at, text);
            }
            None => {
                self.taken.insert(path.to_owned(), at);
            }
        }
    }

    fn mounts(&mut self, node: &Node) {
        for (key, node) in self.table(node) {
            let Some(path) = self.checked(key.at, absolute(&key.name)) else {
                continue;
            };
            self.take(key.at, &path);
            for node in self.list(node) {
                self.mount(&key.name, node);
            }
        }
    }

    fn mount(&mut self, guest: &str, node: &Node) {
        const KNOWN: &[&str] = &["type", "rights", "host", "file"];
        const TYPES: &str = "folder, memory, archive, null, zero or ns";
        let entries = self.table(node);
        let (mut kind, mut rights, mut host, mut file) = (None, None, None, None);
        let (mut kind_at, mut rights_at) = (node.at, node.at);
        let mut need = Needs::default();
        for (key, node) in entries {
            match key.name.as_str() {
                "type" => (kind, kind_at) = (self.text(node), node.at),
                "rights" => (rights, rights_at) = (self.rights(node), node.at),
                "host" => host = self.file(node).map(|path| (key.at, path)),
                "file" => file = self.file(node).map(|path| (key.at, path)),
                name if NEED.contains(&name) => self.need(&mut need, key, node),
                _ => self.unknown(key, "a mount", &[KNOWN, &NEED].concat()),
            }
        }
        if !matches!(node.value, Value::Table(_)) {
            return;
        }
        let device = match (kind.as_deref(), &file) {
            (Some("folder"), _) => None,
            (Some("memory"), _) => Some(Device::Memory),
            (Some("null"), _) => Some(Device::Null),
            (Some("zero"), _) => Some(Device::Zero),
            (Some("ns"), _) => Some(Device::Ns),
            (Some("archive"), Some((_, file))) => Some(Device::Archive(file.clone())),
            (Some("archive"), None) => return self.wrong(node.at, "an archive needs `file`"),
            (Some(other), _) => {
                return self.wrong(
                    kind_at,
                    format!("there is no type `{other}` of mounts: {TYPES}"),
                );
            }
            (None, _) => {
                return self.wrong(node.at, format!("a mount needs a `type`: {TYPES}"));
            }
        };
        if let (Some((at, _)), Some(_)) = (&host, &device) {
            self.wrong(*at, "`host` is for a folder alone");
        }
        if let (Some((at, _)), false) = (&file, matches!(device, Some(Device::Archive(_)))) {
            self.wrong(*at, "`file` is for an archive alone");
        }
        let guest = guest.to_owned();
        let grant = match (device, host) {
            (None, None) => return self.wrong(node.at, "a folder needs `host`"),
            (None, Some((_, host))) => Grant::Dir(DirGrant {
                host,
                guest,
                rights: rights.unwrap_or(Rights::RO),
            }),
            (Some(device), _) => {
                let Some(rights) = self.checked(rights_at, device.rights(rights)) else {
                    return;
                };
                Grant::Mount(MountGrant {
                    device,
                    guest,
                    rights,
                })
            }
        };
        self.want(node, grant, need);
    }

    fn rights(&mut self, node: &Node) -> Option<Rights> {
        match self.text(node)?.as_str() {
            "ro" => Some(Rights::RO),
            "rw" => Some(Rights::RW),
            _ => {
                self.wrong(node.at, "expected ro or rw");
                None
            }
        }
    }

    fn grants(&mut self, node: &Node) {
        for node in self.list(node) {
            match &node.value {
                Value::Text(flag) => {
                    let grant = Capability::from_flag(flag);
                    if let Some(grant) = self.checked(node.at, grant) {
                        let outcome = terms::check(&grant);
                        self.checked(node.at, outcome);
                        self.granted(node, grant, Needs::default());
                    }
                }
                _ => self.grant(node),
            }
        }
    }

    fn grant(&mut self, node: &Node) {
        let entries = self.table(node);
        let mut device = None;
        let mut pairs = Vec::new();
        // Where each pair stands: the key, and the value.
        let mut places = Vec::new();
        let mut need = Needs::default();
        for (key, node) in entries {
            match key.name.as_str() {
                "device" => device = self.text(node).map(|name| (node.at, name)),
                name if NEED.contains(&name) => self.need(&mut need, key, node),
                name => {
                    for node in self.list(node) {
                        let value = match &node.value {
                            Value::Text(value) | Value::Number(value) => value.clone(),
                            Value::Yes(yes) => yes.to_string(),
                            _ => {
                                self.expected(node, "a text, a number, or true or false");
                                continue;
                            }
                        };
                        places.push((key, node, value.clone()));
                        pairs.push((name.to_owned(), value));
                    }
                }
            }
        }
        if !matches!(node.value, Value::Table(_)) {
            return;
        }
        let Some((device_at, device)) = device else {
            let names = DeviceKind::ALL.map(DeviceKind::name).join(", ");
            return self.wrong(node.at, format!("a grant needs a `device`: {names}"));
        };
        let grant = Capability::from_pairs(&device, pairs);
        let outcome = grant.as_ref().map_err(Clone::clone).and_then(terms::check);
        if let Err(error) = outcome {
            let mut at = device_at;
            for (key, node, value) in places {
                match &error {
                    GrantError::UnknownTerm { key: name, .. } if *name == key.name => at = key.at,
                    GrantError::Value {
                        key: name,
                        value: said,
                        ..
                    } if *name == key.name && *said == value => at = node.at,
                    _ => continue,
                }
                break;
            }
            return self.wrong(at, error.to_string());
        }
        if let Ok(grant) = grant {
            self.granted(node, grant, need);
        }
    }

    fn granted(&mut self, node: &Node, grant: Capability, need: Needs) {
        self.take(node.at, grant.at.trim_end_matches('/'));
        if grant.device == DeviceKind::Opfs {
            for path in paths_beside(&grant.at) {
                self.take(node.at, &path);
            }
        }
        let grant = secrets::relative_to(self.folder, grant);
        self.want(node, Grant::Capability(grant), need);
    }

    fn need(&mut self, need: &mut Needs, key: &Key, node: &Node) {
        match key.name.as_str() {
            "without" => need.without = self.text(node).map(|text| (key.at, text)),
            name => {
                let Some(yes) = self.yes(node) else {
                    return;
                };
                if need.required.is_some() {
                    self.wrong(key.at, "`required` and `optional` say the same: give one");
                }
                need.required = Some(yes == (name == "required"));
            }
        }
    }

    fn want(&mut self, node: &Node, grant: Grant, need: Needs) {
        let need = match (need.required, need.without) {
            (Some(false), without) => Need::Optional(without.map(|(_, text)| text)),
            (_, Some((at, _))) => {
                return self.wrong(at, "`without` is for what is optional");
            }
            (_, None) => Need::Required,
        };
        if self.manifest.wants.len() == MOUNTS_MAX {
            // Of many too many, one is told.
            if !std::mem::replace(&mut self.full, true) {
                let text = format!("there are {MOUNTS_MAX} mounts and grants, and no more can be");
                self.wrong(node.at, text);
            }
            return;
        }
        self.manifest.wants.push(Want {
            grant,
            need,
            place: Some(self.places.at(node.at)),
        });
    }
}

/// What was said of the need for something.
#[derive(Default)]
struct Needs {
    required: Option<bool>,
    without: Option<(usize, String)>,
}
