//! What an engine keeps of a module's definitions.
//!
//! The code of a module is mapped; its definitions are built in memory, several times over: as the module has them, as an engine
//! compares them with those of others, and as an instance finds them. A file of 2 MB makes an engine hold 500 MB of types. So a
//! host that loads a module for somebody charges what its definitions weigh: for each of them what wasmtime 48 keeps at most,
//! measured with `tests/account.test.mjs`.

use wasmparser::{CompositeInnerType, SubType};

/// Bytes for a type: itself three times, its group, its layout, the types that it is a subtype of.
const TYPE: u64 = 640;

/// Bytes for a parameter, a result or a field.
const VALUE: u64 = 96;

/// Bytes for a function: what it is, where its code is, and its place in an instance.
const FUNCTION: u64 = 96;

/// Bytes for an import or an export, beside its names.
const NAMED: u64 = 256;

/// Times that the bytes of a name are kept.
const NAME_TIMES: u64 = 3;

/// Bytes for a global or a tag, a segment of elements or of data.
const OTHER: u64 = 160;

/// Times that the bytes of a section of elements are kept: an index of one byte is one of four bytes, or a function's place.
const ELEMENTS_TIMES: u64 = 8;

/// Bytes for an entry of a table that is filled before the module runs.
const ENTRY: u64 = 4;

/// Entries of a table that are filled so, at most; a larger table is filled by code.
const ENTRIES_MAX: u64 = 1 << 20;

/// Bytes that an engine keeps of definitions, at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight(u64);

impl Weight {
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    fn add(&mut self, bytes: u64) {
        self.0 = self.0.saturating_add(bytes);
    }

    pub(crate) fn ty(&mut self, ty: &SubType) {
        let values = match &ty.composite_type.inner {
            CompositeInnerType::Func(ty) => ty.params().len() + ty.results().len(),
            CompositeInnerType::Struct(ty) => ty.fields.len(),
            CompositeInnerType::Array(_) | CompositeInnerType::Cont(_) => 1,
        };
        self.add(TYPE + values as u64 * VALUE);
    }

    pub(crate) fn function(&mut self) {
        self.add(FUNCTION);
    }

    pub(crate) fn named(&mut self, names: usize) {
        self.add(NAMED + names as u64 * NAME_TIMES);
    }

    pub(crate) fn table(&mut self, entries: u64) {
        self.add(OTHER + entries.min(ENTRIES_MAX) * ENTRY);
    }

    /// A section of so many globals, tags or segments.
    pub(crate) fn others(&mut self, count: u32) {
        self.add(u64::from(count) * OTHER);
    }

    /// A section of elements of so many bytes.
    pub(crate) fn elements(&mut self, bytes: u32) {
        self.add(u64::from(bytes) * ELEMENTS_TIMES);
    }
}
