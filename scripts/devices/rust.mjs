// The devices as the crate `capfs-devices` knows them.

import { MADE, wordOf } from './read.mjs'

const text = (value) => JSON.stringify(value)
const constant = (name) => name.toUpperCase().replaceAll('-', '_')
const texts = (values) => `&[${values.map(text).join(', ')}]`

/** devices/src/registry.rs */
export function registry(devices) {
  const each = (line, of = devices) => of.map(line).join('\n')
  const built = devices.filter(({ build }) => build)
  const small = devices.filter(({ kernel }) => kernel === 'every')
  const open = new Set(devices.flatMap(({ terms }) => terms.filter(({ secret }) => !secret).map(({ key }) => key)))
  const check = ({ type, module }) => `        DeviceKind::${type} => ${module}::check(grant),`
  const build = ({ type, module }) => `        DeviceKind::${type} => ${module}::build(grant, parts),`
  const native = ({ hosts: { native: { needs, why } } }) => {
    const need = `Need::${needs[0].toUpperCase()}${needs.slice(1)}`
    return why === undefined ? need : `${need}(${text(why)})`
  }
  const term = (term) => `        Term {
            key: ${text(term.key)},
            value: ${text(wordOf(term))},
            choices: ${texts(Array.isArray(term.value) ? term.value : term.value === 'yes' ? ['yes', 'no'] : [])},
            example: ${text(term.example)},
            about: ${text(term.about)},
            many: ${term.many ?? false},
            needed: ${term.needed ?? false},
        },
`
  return `//! The devices that there are. ${MADE}

use crate::capability::Capability;
use crate::description::{Description, Need, Parts, Term};
use crate::grant::{Grant, GrantError};
use crate::{${devices.map(({ module }) => module).sort().join(', ')}};

/// The devices that can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
${each(({ type, about }) => `    /// ${about[0].toUpperCase()}${about.slice(1)}.\n    ${type},`)}
}

impl DeviceKind {
    /// All of them.
    pub const ALL: [DeviceKind; ${devices.length}] = [
${each(({ type }) => `        DeviceKind::${type},`)}
    ];

    /// Its name in a grant.
    pub const fn name(self) -> &'static str {
        match self {
${each(({ type, name }) => `            DeviceKind::${type} => ${text(name)},`)}
        }
    }

    /// Where it appears unless the grant says otherwise.
    pub const fn path(self) -> &'static str {
        match self {
${each(({ type, path }) => `            DeviceKind::${type} => ${text(path)},`)}
        }
    }

    /// The keys of its terms, without \`at\`.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
${each(({ type, terms }) => `            DeviceKind::${type} => ${texts(terms.map(({ key }) => key))},`)}
        }
    }

    /// What it needs of a machine to be there at all.
    pub const fn need(self) -> Need {
        match self {
${each((device) => `            DeviceKind::${device.type} => ${native(device)},`)}
        }
    }

    /// What there is to say of it to people.
    pub const fn description(self) -> &'static Description {
        match self {
${each(({ type, name }) => `            DeviceKind::${type} => &${constant(name)},`)}
        }
    }
}

/// Keys whose values anybody may see, of whatever device.
pub const PUBLIC: &[&str] = ${texts([...open].sort())};

/// Reads the terms of a grant as its device will, on a host that has everything.
///
/// # Errors
/// What is wrong with the first of them.
pub fn check(grant: &Grant) -> Result<(), GrantError> {
    match grant.device {
${each(check)}
    }
}

/// The same of devices that the small kernel has, too; \`None\` for others, of which it is to hold no code.
pub fn check_small(grant: &Grant) -> Option<Result<(), GrantError>> {
    Some(match grant.device {
${each(check, small)}
        _ => return None,
    })
}

/// Makes a device that needs nothing of a host but its parts; \`None\` for others.
pub fn build(grant: &Grant, parts: &Parts) -> Option<Result<Capability, GrantError>> {
    Some(match grant.device {
${each(build, built)}
        _ => return None,
    })
}

/// The same of devices that the small kernel has, too.
pub fn build_small(grant: &Grant, parts: &Parts) -> Option<Result<Capability, GrantError>> {
    Some(match grant.device {
${each(build, built.filter((device) => small.includes(device)))}
        _ => return None,
    })
}

${each(({ name, about, terms }) => `const ${constant(name)}: Description = Description {
    about: ${text(about)},
    terms: &[${terms.length > 0 ? `\n${terms.map(term).join('')}    ` : ''}],
};`)}
`
}

const BEGIN = '// Devices, as scripts/devices.mjs finds them.\n'
const END = '// The end of the devices.\n'

/** devices/src/lib.rs, in which the modules of devices stand between two lines. */
export function lib(devices, before) {
  const [head, rest] = before.split(BEGIN)
  const tail = rest?.split(END)[1]
  if (tail === undefined) throw new Error('devices/src/lib.rs has no place for the modules of devices')
  const modules = devices.map(({ module }) => module).sort()
  return `${head}${BEGIN}${modules.map((module) => `pub mod ${module};\n`).join('')}${END}${tail}`
}
