//! Reading a module part by part.

use std::mem;
use std::ops::Range;

use wasmparser::{
    BinaryReader, CompositeInnerType, ExportSectionReader, ExternalKind, FunctionSectionReader,
    ImportSectionReader, MemorySectionReader, MemoryType, SubType, TableSectionReader, TypeRef,
};

use crate::facts::{Facts, Unanswered};
use crate::imports::{Answer, Shape};
use crate::refusal::{BadMemory, Refusal};
use crate::shown::shown;

/// Bytes of a module's header.
const HEADER: u64 = 8;

/// Bytes of a section's head, at most: what it is, and its length as a LEB128 of 32 bits.
const HEAD_MAX: u64 = 6;

/// Bytes that tell how many definitions a section has, at most, which stand at its beginning.
const COUNT_MAX: u64 = 5;

/// Bytes of a section that is read, at most: a program of 60 MB has a tenth of a megabyte.
const SECTION_MAX: u64 = 32 << 20;

/// Types, functions, imports and exports that a module has, of each, at most, and memories and tables: the engines' limits
/// (WebAssembly JavaScript Interface, *Implementation-defined Limits*). They bound what is held of a module that is
/// mostly definitions.
const DEFINITIONS_MAX: usize = 1_000_000;
const MEMORIES_MAX: usize = 100;
const TABLES_MAX: usize = 100;

/// Functions that are answered with `ENOSYS`, at most; there are hosts with dozens of their own.
const UNANSWERED_MAX: usize = 1000;

/// Bytes that their names have together, at most.
const UNANSWERED_NAMES_MAX: usize = 64 << 10;

/// Imports that can't be answered and are told, at most; the rest is counted.
const UNKNOWN_MAX: usize = 1000;

/// Bytes that a reader holds at most: what is kept of a million types and functions, the imports that are told, and names.
const HELD_MAX: u64 = 4 << 20;

/// Bytes that it holds however short the file is.
const HELD_LEAST: u64 = 128 << 10;

/// Bytes that reading a file of so many holds beside the file, at most.
pub fn held(len: u64) -> u64 {
    len.saturating_add(HELD_LEAST).min(HELD_MAX)
}

/// The identifiers of the sections that are looked at.
mod section {
    pub const TYPE: u8 = 1;
    pub const IMPORT: u8 = 2;
    pub const FUNCTION: u8 = 3;
    pub const TABLE: u8 = 4;
    pub const MEMORY: u8 = 5;
    pub const EXPORT: u8 = 7;
    pub const GLOBAL: u8 = 6;
    pub const START: u8 = 8;
    pub const ELEMENT: u8 = 9;
    pub const CODE: u8 = 10;
    pub const DATA: u8 = 11;
    pub const DATA_COUNT: u8 = 12;
    pub const TAG: u8 = 13;
}

/// Reads a whole file.
///
/// # Errors
/// Why it can't run as an agent, as far as reading tells.
pub fn read(wasm: &[u8]) -> Result<Facts, Refusal> {
    let mut reader = Reader::new(wasm.len() as u64);
    reader.read_from(wasm)?;
    reader.facts()
}

/// Whether a file is a module that is whole, whatever is in it.
///
/// # Errors
/// [`Refusal::NotWasm`], [`Refusal::Component`], [`Refusal::Truncated`], [`Refusal::Invalid`]
pub fn whole(wasm: &[u8]) -> Result<(), Refusal> {
    let mut reader = Reader::new(wasm.len() as u64);
    reader.looks = false;
    reader.read_from(wasm)
}

/// Reads a module in the parts that it asks for.
///
/// It asks for the header, for each section's head, and for the contents of those that it looks at. Everything that decides
/// about imports, exports and memories stands before the code; whether the file is whole is seen behind it.
#[derive(Debug)]
pub struct Reader {
    len: u64,
    state: State,
    /// Whether it looks into sections.
    looks: bool,
    types: Vec<Shape>,
    functions: Functions,
    /// Bytes of the names of what is answered with `ENOSYS`.
    unanswered_names: usize,
    unknown: Vec<String>,
    exported_start: Option<u32>,
    exported_memory: Option<u32>,
    facts: Facts,
}

/// Which functions take and return nothing, imported ones first: of the others only that they are there is of interest.
#[derive(Debug, Default)]
struct Functions {
    count: usize,
    /// A bit for each.
    nothing: Vec<u64>,
}

impl Functions {
    fn push(&mut self, nothing: bool) {
        let (word, bit) = (self.count / 64, self.count % 64);
        if bit == 0 {
            self.nothing.push(0);
        }
        self.nothing[word] |= u64::from(nothing) << bit;
        self.count += 1;
    }

    /// Whether a function has neither parameters nor results; `None` where there is none.
    fn takes_nothing(&self, index: usize) -> Option<bool> {
        let there = index < self.count;
        there.then(|| self.nothing[index / 64] >> (index % 64) & 1 == 1)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// The head of the section at this byte.
    Head(u64),
    /// The contents of a section, whose head is at `head`.
    Contents {
        id: u8,
        head: u64,
        range: Range<u64>,
    },
    End,
}

impl Reader {
    /// A reader of a file of this many bytes; `u64::MAX` while that is not known.
    pub fn new(len: u64) -> Reader {
        Reader {
            len,
            state: State::Header,
            looks: true,
            types: Vec::new(),
            functions: Functions::default(),
            unanswered_names: 0,
            unknown: Vec::new(),
            exported_start: None,
            exported_memory: None,
            facts: Facts::default(),
        }
    }

    fn read_from(&mut self, wasm: &[u8]) -> Result<(), Refusal> {
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(wasm.len());
        while let Some(wanted) = self.wanted() {
            // Beyond the file's end there is nothing to give, which the reader knows what to make of.
            self.give(&wasm[within(wanted.start)..within(wanted.end)])?;
        }
        Ok(())
    }

    /// The bytes that it wants next; `None` when it has seen all. Where the file ends before, what there is is given.
    pub fn wanted(&self) -> Option<Range<u64>> {
        match &self.state {
            State::Header => Some(0..HEADER),
            State::Head(at) => Some(*at..at.saturating_add(HEAD_MAX + COUNT_MAX)),
            State::Contents { range, .. } => Some(range.clone()),
            State::End => None,
        }
    }

    /// Takes what was wanted.
    ///
    /// # Errors
    /// Why the module can't run as an agent; the reader is of no use then.
    pub fn give(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match mem::replace(&mut self.state, State::End) {
            State::Header => self.header(bytes),
            State::Head(at) => self.head(at, bytes),
            State::Contents { id, head, range } => {
                let missing = (range.end - range.start).saturating_sub(bytes.len() as u64);
                if missing > 0 {
                    return Err(missing_from(head, missing));
                }
                let end = range.end;
                self.contents(id, head, range, bytes)?;
                self.state = State::Head(end);
                Ok(())
            }
            State::End => Ok(()),
        }
    }

    /// What the module is, once the reader has seen all; or all but the code and what stands behind it, which is seen
    /// by [`past_definitions`](Reader::past_definitions).
    ///
    /// # Errors
    /// Why it can't run as an agent.
    pub fn facts(self) -> Result<Facts, Refusal> {
        self.check()?;
        Ok(Facts {
            memory: self.exported_memory.unwrap_or_default(),
            ..self.facts
        })
    }

    /// Whether everything was seen that decides about the module but whether it is whole: the reader has come to its code.
    pub fn past_definitions(&self) -> bool {
        matches!(self.state, State::Head(_)) && self.facts.layout.code
    }

    fn header(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        const MAGIC: &[u8] = b"\0asm";
        const VERSION: &[u8] = &[1, 0, 0, 0];
        /// A component's layer, behind its version.
        const COMPONENT: &[u8] = &[1, 0];
        if !bytes.starts_with(MAGIC) {
            return Err(Refusal::NotWasm(what_else(bytes)));
        }
        match bytes.get(MAGIC.len()..HEADER as usize) {
            None => Err(Refusal::Truncated("it ends within its header".to_owned())),
            Some(VERSION) => {
                self.state = State::Head(HEADER);
                Ok(())
            }
            Some(version) if version.ends_with(COMPONENT) => Err(Refusal::Component),
            Some(_) => Err(Refusal::NotWasm("its version is not 1")),
        }
    }

    fn head(&mut self, at: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let Some((&id, rest)) = bytes.split_first() else {
            // Between two sections, the file ends as it should.
            self.state = State::End;
            return self.check();
        };
        let (size, count) = leb(rest).ok_or_else(|| match bytes.len() as u64 {
            HEAD_MAX.. => invalid_at("a section's length has more than 32 bits", at),
            _ => Refusal::Truncated(format!("it ends in the head of the section at byte {at}")),
        })?;
        let start = at + 1 + count;
        let range = start..start + u64::from(size);
        if range.end > self.len {
            // What stands before tells more, if it is all there.
            if matches!(id, section::CODE | section::DATA) {
                self.check()?;
            }
            return Err(missing_from(at, range.end - self.len));
        }
        self.weigh(id, size, &rest[count as usize..]);
        self.state = match id {
            _ if !self.looks => State::Head(range.end),
            section::TYPE
            | section::IMPORT
            | section::FUNCTION
            | section::TABLE
            | section::MEMORY
            | section::EXPORT
            | section::START => {
                if size as u64 > SECTION_MAX {
                    return Err(invalid_at(
                        "a section of definitions is larger than 32 MiB",
                        at,
                    ));
                }
                State::Contents {
                    id,
                    head: at,
                    range,
                }
            }
            section::ELEMENT | section::CODE | section::DATA | section::DATA_COUNT => {
                if !mem::replace(&mut self.facts.layout.code, true) {
                    self.check()?;
                }
                State::Head(range.end)
            }
            _ => State::Head(range.end),
        };
        Ok(())
    }

    /// Weighs a section that isn't looked into, by its beginning.
    fn weigh(&mut self, id: u8, size: u32, beginning: &[u8]) {
        // Each definition has a byte at least. Without a number validation refuses it.
        let count = leb(beginning).map_or(0, |(count, _)| count.min(size));
        match id {
            section::GLOBAL | section::TAG | section::DATA => self.facts.weight.others(count),
            section::ELEMENT => {
                self.facts.weight.others(count);
                self.facts.weight.elements(size);
            }
            _ => {}
        }
    }

    fn contents(
        &mut self,
        id: u8,
        head: u64,
        range: Range<u64>,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let reader = BinaryReader::new(bytes, range.start);
        let read = match id {
            section::TYPE => self.read_types(reader),
            section::IMPORT => self.read_imports(reader),
            section::FUNCTION => self.read_functions(reader),
            section::TABLE => self.read_tables(reader),
            section::MEMORY => self.read_memories(reader),
            section::EXPORT => self.read_exports(reader),
            _ => self.read_start(reader),
        };
        read.map_err(Refusal::Invalid)?;
        self.facts.layout.section(id, head, range, bytes);
        Ok(())
    }

    /// One type at a time: a group of them, as the parser builds it, can take fifty times the bytes that it has in the file.
    fn read_types(&mut self, mut reader: BinaryReader<'_>) -> Result<(), String> {
        /// In front of the number of types of a recursive group.
        const GROUP: u8 = 0x4e;
        let groups = reader.read_var_u32().map_err(words)?;
        for _ in 0..groups {
            let types = match reader.clone().read_u8() {
                Ok(GROUP) => {
                    reader.read_u8().map_err(words)?;
                    reader.read_var_u32().map_err(words)?
                }
                _ => 1,
            };
            for _ in 0..types {
                bounded(self.types.len(), "types", DEFINITIONS_MAX)?;
                let ty: SubType = reader.read().map_err(words)?;
                self.facts.weight.ty(&ty);
                self.types.push(match &ty.composite_type.inner {
                    CompositeInnerType::Func(ty) => Shape::of(ty),
                    _ => Shape::OTHER,
                });
            }
        }
        match reader.eof() {
            true => Ok(()),
            false => Err(format!(
                "section size mismatch: unexpected data at the end of the section (at offset {:#x})",
                reader.original_position()
            )),
        }
    }

    fn read_imports(&mut self, reader: BinaryReader<'_>) -> Result<(), String> {
        let imports = ImportSectionReader::new(reader).map_err(words)?;
        for (count, import) in imports.into_imports().enumerate() {
            let import = import.map_err(words)?;
            bounded(count, "imports", DEFINITIONS_MAX)?;
            let names = import.module.len() + import.name.len();
            self.facts.weight.named(names);
            let kind = match import.ty {
                TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                    self.facts.weight.function();
                    self.functions.push(self.nothing(ty));
                    match self.function(import.module, import.name, ty) {
                        Answer::Provided => continue,
                        Answer::Nosys if self.has_room_for(import.name) => {
                            self.unanswered_names += import.name.len();
                            self.facts.unanswered.push(Unanswered {
                                module: import.module.to_owned(),
                                name: import.name.to_owned(),
                            });
                            continue;
                        }
                        Answer::OtherType => "a function of another type",
                        Answer::Missing | Answer::Nosys => "function",
                    }
                }
                TypeRef::Table(_) => "table",
                TypeRef::Memory(memory) => {
                    bounded(self.facts.memories.len(), "memories", MEMORIES_MAX)?;
                    self.facts.memories.push(memory);
                    "memory"
                }
                TypeRef::Global(_) => "global",
                TypeRef::Tag(_) => "tag",
            };
            if self.unknown.len() < UNKNOWN_MAX {
                let (module, name) = (shown(import.module), shown(import.name));
                self.unknown.push(format!("{module}.{name} ({kind})"));
            }
        }
        Ok(())
    }

    fn function(&self, module: &str, name: &str, ty: u32) -> Answer {
        let shape = self.types.get(ty as usize);
        // Without one the module is invalid, which validation says better.
        let answer = shape.and_then(|shape| shape.answer(module, name));
        answer.unwrap_or(Answer::Provided)
    }

    /// Whether one more function of this name can be answered with `ENOSYS`.
    fn has_room_for(&self, name: &str) -> bool {
        self.facts.unanswered.len() < UNANSWERED_MAX
            && self.unanswered_names + name.len() <= UNANSWERED_NAMES_MAX
    }

    /// Whether a function of this type takes and returns nothing. Of one that the module hasn't validation says better that it is invalid.
    fn nothing(&self, ty: u32) -> bool {
        let shape = self.types.get(ty as usize);
        shape.is_none_or(|shape| [Shape::NOTHING, Shape::OTHER].contains(shape))
    }

    fn read_functions(&mut self, reader: BinaryReader<'_>) -> Result<(), String> {
        for ty in FunctionSectionReader::new(reader).map_err(words)? {
            bounded(self.functions.count, "functions", DEFINITIONS_MAX)?;
            self.facts.weight.function();
            self.functions.push(self.nothing(ty.map_err(words)?));
        }
        Ok(())
    }

    fn read_tables(&mut self, reader: BinaryReader<'_>) -> Result<(), String> {
        for table in TableSectionReader::new(reader).map_err(words)? {
            bounded(self.facts.tables as usize, "tables", TABLES_MAX)?;
            self.facts.tables += 1;
            self.facts.weight.table(table.map_err(words)?.ty.initial);
        }
        Ok(())
    }

    fn read_memories(&mut self, reader: BinaryReader<'_>) -> Result<(), String> {
        for memory in MemorySectionReader::new(reader).map_err(words)? {
            bounded(self.facts.memories.len(), "memories", MEMORIES_MAX)?;
            self.facts.memories.push(memory.map_err(words)?);
        }
        Ok(())
    }

    fn read_exports(&mut self, reader: BinaryReader<'_>) -> Result<(), String> {
        let exports = ExportSectionReader::new(reader).map_err(words)?;
        for (count, export) in exports.into_iter().enumerate() {
            bounded(count, "exports", DEFINITIONS_MAX)?;
            let export = export.map_err(words)?;
            self.facts.weight.named(export.name.len());
            match (export.name, export.kind) {
                ("_start", ExternalKind::Func) => self.exported_start = Some(export.index),
                ("memory", ExternalKind::Memory) => self.exported_memory = Some(export.index),
                _ => {}
            }
            if !self.facts.layout.exported(export.name) {
                return Err("it exports too many names that begin with `capfs-start`".to_owned());
            }
        }
        Ok(())
    }

    fn read_start(&mut self, mut reader: BinaryReader<'_>) -> Result<(), String> {
        self.facts.start = Some(reader.read_var_u32().map_err(words)?);
        Ok(())
    }

    /// The verdict about what was read, in the order of the table.
    fn check(&self) -> Result<(), Refusal> {
        if !self.looks {
            return Ok(());
        }
        if !self.unknown.is_empty() {
            return Err(Refusal::Imports(self.unknown.clone()));
        }
        let Some(start) = self.exported_start else {
            return Err(Refusal::NoStart);
        };
        if !self.takes_nothing(start) {
            return Err(Refusal::StartType);
        }
        let Some(memory) = self.exported_memory else {
            return Err(Refusal::NoMemory);
        };
        let shared = |memory: &MemoryType| memory.shared;
        if self.facts.memories.iter().any(shared) {
            return Err(Refusal::Memory(BadMemory::Shared));
        }
        // Not one that the module hasn't: validation says that.
        let exported = self.facts.memories.get(memory as usize);
        if exported.is_some_and(|memory| memory.memory64) {
            return Err(Refusal::Memory(BadMemory::Wide));
        }
        let other_pages = |memory: &MemoryType| memory.page_size_log2.is_some();
        if self.facts.memories.iter().any(other_pages) {
            return Err(Refusal::Memory(BadMemory::Pages));
        }
        match self.facts.start {
            Some(start) if !self.takes_nothing(start) => {
                let reason = "its start function takes or returns values";
                Err(Refusal::Invalid(reason.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a function has neither parameters nor results. One that the module hasn't is for validation to refuse.
    fn takes_nothing(&self, function: u32) -> bool {
        let nothing = self.functions.takes_nothing(function as usize);
        nothing.unwrap_or(true)
    }
}

/// What the parser says.
fn words(error: wasmparser::Error) -> String {
    error.to_string()
}

/// That one more of these may follow what there is.
fn bounded(count: usize, what: &str, most: usize) -> Result<(), String> {
    match count < most {
        true => Ok(()),
        false => Err(format!("it has more than {most} {what}")),
    }
}

fn missing_from(head: u64, missing: u64) -> Refusal {
    Refusal::Truncated(format!(
        "{missing} bytes are missing from the section at byte {head}"
    ))
}

fn invalid_at(what: &str, at: u64) -> Refusal {
    Refusal::Invalid(format!("{what} (at offset {at:#x})"))
}

/// A number of 32 bits, and how many bytes say it.
fn leb(bytes: &[u8]) -> Option<(u32, u64)> {
    let mut size = 0u64;
    for (count, byte) in bytes.iter().take(5).enumerate() {
        size |= u64::from(byte & 0x7f) << (7 * count);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(size).ok()?, count as u64 + 1));
        }
    }
    None
}

/// What a file is that isn't WebAssembly, by its first bytes.
fn what_else(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "it is empty",
        [0x7f, b'E', b'L', b'F', ..] => "it is native code",
        [0x1f, 0x8b, ..] => "it is compressed by gzip",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive",
        [b'#', b'!', ..] => "it is a script",
        [b'<', ..] => "it looks like a page or another text of markup",
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            "it looks like the text format, which `wat2wasm` converts"
        }
        _ => "it does not start with \\0asm",
    }
}
