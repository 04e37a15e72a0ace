//! What a manifest asks for, and how much of it there is here.

use capfs_devices::identity::Identity;
use capfs_runtime::ClockGrant;
use serde_json::{Value, json};

use super::{Description, line};
use crate::capabilities::Capabilities;
use crate::grants::{Grant, Lack};
use crate::manifest::{Bounds, Manifest, Need, Variable, Want, inherited};

/// A manifest, held against this host.
pub struct Asked {
    manifest: Manifest,
    /// Whether the module has the digest that the manifest says, if it says one.
    is_module: bool,
    /// For each thing that is asked for, what is missing of it.
    lacks: Vec<Option<Lack>>,
}

/// How one thing would fare.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Granted,
    Degraded,
    Missing,
}

impl Fate {
    const fn word(self) -> &'static str {
        match self {
            Fate::Granted => "granted",
            Fate::Degraded => "degraded",
            Fate::Missing => "missing",
        }
    }
}

impl Asked {
    /// Looks for everything that a manifest asks for, and makes nothing; the program is the module of this description.
    pub fn examine(manifest: Manifest, module: &Description, capabilities: &Capabilities) -> Asked {
        let wanted = manifest.program_digest.as_deref();
        let is_module = wanted.is_none_or(|digest| digest == module.digest);
        let wants = manifest.wants.iter();
        let lacks = wants.map(|want| want.examine(capabilities)).collect();
        Asked {
            manifest,
            is_module,
            lacks,
        }
    }

    fn fates(&self) -> impl Iterator<Item = (&Want, Option<&Lack>, Fate)> {
        let lacks = self.lacks.iter().map(Option::as_ref);
        self.manifest.wants.iter().zip(lacks).map(|(want, lack)| {
            let fate = match (lack, &want.need) {
                (None, _) => Fate::Granted,
                (Some(lack), Need::Required) if !lack.partly => Fate::Missing,
                (Some(_), _) => Fate::Degraded,
            };
            (want, lack, fate)
        })
    }

    /// Whether the program would be started, if it is one.
    pub fn starts(&self) -> bool {
        self.is_module && self.has_all() && self.not_text().next().is_none()
    }

    /// Whether everything is here that it requires.
    pub fn has_all(&self) -> bool {
        self.fates().all(|(_, _, fate)| fate != Fate::Missing)
    }

    /// The variables of this machine whose values are not UTF-8, for which nothing starts.
    fn not_text(&self) -> impl Iterator<Item = &String> {
        let inherits = self
            .manifest
            .env
            .iter()
            .filter(|variable| variable.value.is_none());
        inherits
            .map(|variable| &variable.name)
            .filter(|name| inherited(name).is_err())
    }

    /// Whether the module is the one that the manifest names.
    pub fn is_module(&self) -> bool {
        self.is_module
    }

    pub(super) fn as_json(&self) -> Value {
        let asked = self.fates().map(|(want, lack, fate)| {
            let (needed, without) = match &want.need {
                Need::Required => (true, None),
                Need::Optional(without) => (false, without.as_deref()),
            };
            json!({
                "what": want.grant.what(),
                "at": want.grant.guest(),
                "terms": terms(&want.grant),
                "required": needed,
                "without": without,
                "fate": fate.word(),
                "why": lack.map(|lack| &lack.why),
                "place": want.place.as_ref().map(ToString::to_string),
            })
        });
        let asked: Vec<Value> = asked.collect();
        let Bounds {
            memory,
            time,
            files,
            storage,
        } = self.manifest.limits;
        let listen = self.manifest.listen.iter().map(ToString::to_string);
        json!({
            "starts": self.starts(),
            "asks": asked,
            "limits": {
                "memory": memory,
                "time_ms": time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                "files": files,
                "storage": storage,
            },
            "clock": self.manifest.clock.map(clock),
            "random": self.manifest.random,
            "args": self.manifest.args,
            "env": self.manifest.env.iter().filter(|variable| variable.value.is_some()).map(|variable| &variable.name).collect::<Vec<_>>(),
            "inherits": self.manifest.env.iter().filter(|variable| variable.value.is_none()).map(|variable| &variable.name).collect::<Vec<_>>(),
            "not_text": self.not_text().collect::<Vec<_>>(),
            "not_set": self.manifest.env.iter().filter(|variable| is_not_set(variable)).map(|variable| &variable.name).collect::<Vec<_>>(),
            "digest": self.manifest.digest,
            "module_digest": self.manifest.program_digest,
            "id": self.manifest.id.as_ref().map(Identity::as_str),
            "listen": listen.collect::<Vec<_>>(),
        })
    }

    /// What it may touch first, then its limits, and then who it is.
    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, what: String| line(&mut text, key, what);
        for (want, lack, fate) in self.fates() {
            let mut what = format!("{} at {}", want.grant.what(), want.grant.guest());
            let terms = terms(&want.grant);
            if !terms.is_empty() {
                what += &format!(" ({})", terms.join(", "));
            }
            if let Some(lack) = lack {
                what += &format!(": {}", lack.why);
                let without = lack.without.as_ref();
                what += &without.map_or_else(String::new, |text| format!("; {text}"));
            }
            line(fate.word(), what);
        }
        for address in &self.manifest.listen {
            line("listen", address.to_string());
        }
        for variable in &self.manifest.env {
            let Variable { name, value } = variable;
            match value {
                Some(_) => line("variable", name.clone()),
                None if is_not_set(variable) => line(
                    "inherits",
                    format!("{name}, which is not set on this machine"),
                ),
                None if inherited(name).is_err() => line(
                    "inherits",
                    format!("{name}, whose value on this machine is not UTF-8"),
                ),
                None => line("inherits", format!("{name}, as it is set on this machine")),
            }
        }
        let Bounds {
            memory,
            time,
            files,
            storage,
        } = self.manifest.limits;
        let limits = [
            memory.map(|bytes| format!("memory {bytes} bytes")),
            time.map(|time| format!("time {time:?}")),
            files.map(|files| format!("files {files}")),
            storage.map(|bytes| format!("storage {bytes} bytes")),
        ];
        for limit in limits.into_iter().flatten() {
            line("limit", limit);
        }
        if let Some(granted) = self.manifest.clock {
            let what = match granted {
                ClockGrant::Exact => "exact".to_owned(),
                ClockGrant::Nothing => "none: it can't know the time".to_owned(),
                ClockGrant::Steps(_) => format!("in steps of {}", clock(granted)),
            };
            line("clock", what);
        }
        if let Some(random) = self.manifest.random {
            let what = match random {
                true => "yes",
                false => "no: WASI's own call gives it no random bytes",
            };
            line("random", what.to_owned());
        }
        if !self.manifest.args.is_empty() {
            line("args", format!("{:?}", self.manifest.args));
        }
        if let Some(id) = &self.manifest.id {
            line(
                "id",
                format!("{id}: whose keys, files and databases it has"),
            );
        }
        line(
            "digest",
            format!("{} (of the manifest)", self.manifest.digest),
        );
        if let Some(digest) = &self.manifest.program_digest {
            let what = match self.is_module {
                true => "as the module has it",
                false => "which the module below has not",
            };
            line("module", format!("{digest}, {what}"));
        }
        let starts = match (self.is_module, self.starts()) {
            (true, true) => "yes",
            (false, _) => "no: the module is not the one that the manifest names",
            (true, false) if self.has_all() => "no: a variable that it inherits is not UTF-8",
            (true, false) => "no: something that it requires is missing here",
        };
        line("starts", starts.to_owned());
        text
    }
}

/// Whether a variable is to be this machine's, and is not set here: the program goes without.
fn is_not_set(variable: &Variable) -> bool {
    variable.value.is_none() && matches!(inherited(&variable.name), Ok(None))
}

/// What a program may know of the time, as a manifest says it.
fn clock(granted: ClockGrant) -> String {
    match granted {
        ClockGrant::Exact => "exact".to_owned(),
        ClockGrant::Nothing => "none".to_owned(),
        ClockGrant::Steps(nanos) => format!("{}ms", nanos / 1_000_000),
    }
}

/// The terms of something, as people may read them.
fn terms(grant: &Grant) -> Vec<String> {
    match grant {
        Grant::Dir(grant) => vec![rights(grant.rights)],
        Grant::Mount(grant) => vec![rights(grant.rights)],
        Grant::Capability(grant) => {
            let terms = grant.public_terms().into_iter();
            terms
                .map(|term| format!("{}={}", term.key, term.value))
                .collect()
        }
    }
}

fn rights(rights: capfs::Rights) -> String {
    let word = match rights == capfs::Rights::RO {
        true => "ro",
        false => "rw",
    };
    word.to_owned()
}

/// What is missing, as JSON.
pub fn lacks(lacks: &[Lack]) -> Value {
    let lacks = lacks.iter().map(|lack| {
        json!({
            "what": lack.what,
            "at": lack.at,
            "why": lack.why,
            "partly": lack.partly,
            "without": lack.without,
            "place": lack.place.as_ref().map(ToString::to_string),
        })
    });
    lacks.collect()
}
