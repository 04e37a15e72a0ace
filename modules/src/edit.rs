//! What hosts write into a module.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::facts::Facts;
use crate::refusal::Refusal;

/// Bytes in a page of memory.
const PAGE: u64 = 65_536;

/// Pages that 32 bits can address.
const PAGES_MAX: u64 = 65_536;

/// Names that may be the start function's and are exported already, at most.
const TAKEN_MAX: usize = 1000;

/// Digits of the number that has [`TAKEN_MAX`] before it.
const DIGITS: usize = 4;

/// The name under which a start function is exported; digits follow where a module has it already.
const START: &str = "capfs-start";

const MEMORY: u8 = 5;
const EXPORT: u8 = 7;
const STARTS: u8 = 8;
const FUNCTION_KIND: u8 = 0;

/// A change to a file: what stands at `at` is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that are replaced, in the file as it was.
    pub at: Range<u64>,
    /// What comes there instead.
    pub bytes: Vec<u8>,
}

/// Where the parts are that may have to be changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// Whether the code has been seen, or what stands beside it.
    pub(crate) code: bool,
    /// The section of memories, its head included.
    memories: Option<Range<u64>>,
    exports: Option<Exports>,
    /// The section of the start function, its head included.
    start: Option<Range<u64>>,
    /// The exports whose names the start function could have.
    taken: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Exports {
    head: u64,
    /// Where its entries are, behind their number.
    entries: Range<u64>,
    count: u32,
}

impl Layout {
    pub(crate) fn section(&mut self, id: u8, head: u64, contents: Range<u64>, bytes: &[u8]) {
        let whole = head..contents.end;
        match id {
            MEMORY => self.memories = Some(whole),
            STARTS => self.start = Some(whole),
            EXPORT => {
                let mut reader = wasmparser::BinaryReader::new(bytes, contents.start);
                self.exports = reader.read_var_u32().ok().map(|count| Exports {
                    head,
                    entries: reader.original_position()..contents.end,
                    count,
                });
            }
            _ => {}
        }
    }

    /// A name is exported. `false` if there are too many that the start function could have.
    pub(crate) fn exported(&mut self, name: &str) -> bool {
        // Longer names are never reached, however many are taken.
        if name.starts_with(START) && name.len() <= START.len() + 1 + DIGITS {
            self.taken.insert(name.to_owned());
        }
        self.taken.len() <= TAKEN_MAX
    }
}

impl Facts {
    /// A name for the start function that the module exports nothing by.
    pub fn start_name(&self) -> String {
        let taken = &self.layout.taken;
        let numbered = (1..).map(|number| format!("{START}-{number}"));
        let mut names = std::iter::once(START.to_owned()).chain(numbered);
        let free = names.find(|name| !taken.contains(name));
        free.unwrap_or_default()
    }

    /// What must be written into the module so that its memories together grow to `limit` bytes at most, if there is a
    /// limit; and so that its start function is exported as [`start_name`](Facts::start_name) instead of being
    /// run, if `start` is set and it has one. In the file's order.
    ///
    /// The exported memory may grow up to the limit; any other keeps the size that it starts with. `memory.grow` fails
    /// beyond, as programs expect, and the engine enforces it.
    ///
    /// # Errors
    /// [`Refusal::MemoryLimit`]: it needs more from the start
    pub fn edits(&self, limit: Option<u64>, start: bool) -> Result<Vec<Edit>, Refusal> {
        let mut edits = Vec::new();
        if let Some(limit) = limit {
            let needed = self.memory_minimum();
            if needed > limit {
                return Err(Refusal::MemoryLimit { needed, limit });
            }
            if let Some(at) = &self.layout.memories {
                let room = (limit - needed) / PAGE;
                edits.push(Edit {
                    at: at.clone(),
                    bytes: self.limited(room),
                });
            }
        }
        if let (true, Some(function), Some(section), Some(exports)) =
            (start, self.start, &self.layout.start, &self.layout.exports)
        {
            let mut entry = Vec::new();
            let name = self.start_name();
            leb(&mut entry, name.len() as u64);
            entry.extend_from_slice(name.as_bytes());
            entry.push(FUNCTION_KIND);
            leb(&mut entry, function.into());
            let mut count = Vec::new();
            leb(&mut count, u64::from(exports.count) + 1);
            let entries = exports.entries.end - exports.entries.start;
            let mut head = vec![EXPORT];
            leb(&mut head, entries + (count.len() + entry.len()) as u64);
            head.extend(count);
            edits.push(Edit {
                at: exports.head..exports.entries.start,
                bytes: head,
            });
            edits.push(Edit {
                at: exports.entries.end..exports.entries.end,
                bytes: entry,
            });
            edits.push(Edit {
                at: section.clone(),
                bytes: Vec::new(),
            });
        }
        edits.sort_by_key(|edit| edit.at.start);
        Ok(edits)
    }

    /// The section of memories, with the exported one bound to grow by this many pages, the others not at all.
    fn limited(&self, room: u64) -> Vec<u8> {
        const HAS_MAXIMUM: u8 = 1;
        const WIDE: u8 = 4;
        let mut contents = Vec::new();
        leb(&mut contents, self.memories.len() as u64);
        for (index, memory) in self.memories.iter().enumerate() {
            let room = if index as u64 == u64::from(self.memory) {
                room
            } else {
                0
            };
            let most = memory
                .initial
                .saturating_add(room)
                .min(match memory.memory64 {
                    true => u64::MAX,
                    false => PAGES_MAX,
                });
            let maximum = memory.maximum.map_or(most, |maximum| maximum.min(most));
            contents.push(HAS_MAXIMUM | if memory.memory64 { WIDE } else { 0 });
            leb(&mut contents, memory.initial);
            leb(&mut contents, maximum);
        }
        let mut section = vec![MEMORY];
        leb(&mut section, contents.len() as u64);
        section.extend(contents);
        section
    }
}

/// Adds a number as LEB128, in as few bytes as it takes.
pub(crate) fn leb(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
