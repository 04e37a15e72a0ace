//! What one instance of a module takes.
//!
//! An engine keeps for each instance what its code reaches by address: a place for each global, and one for each function that can be
//! referred to, however little of that it uses. A file of some megabytes makes tens of that, for each agent. wasmtime 48 has it
//! in one block (`VMContext`, whose layout is that of `wasmtime_environ::VMOffsets`), beside values of passive segments and what a store has of
//! definitions. It is charged to whoever the instance is for.

use capfs_modules::Facts;
use wasmparser::{
    ConstExpr, ElementItems, ElementKind, ExternalKind, Operator, Parser, Payload, TableInit,
};

/// Bytes for an import: its place, and what it is handed over in.
const IMPORT: u64 = 128;

/// Bytes for an import that is answered with `ENOSYS`, which is a function of its own.
const UNANSWERED: u64 = 1024;

/// Bytes for a function that can be referred to (`VMFuncRef`).
const REFERENCE: u64 = 32;

/// Bytes for a global (`VMGlobalDefinition`) or a tag.
const VALUE: u64 = 16;

/// Bytes for a memory or a table: its place, and what owns it.
const OWNED: u64 = 512;

/// Bytes for an element of a passive segment (`ValRaw`).
const ELEMENT: u64 = 16;

/// Bytes for a segment: where it is, and how much of it is left.
const SEGMENT: u64 = 64;

/// Bytes that an instance of a module takes at most, beside its memories and the elements of its tables.
pub(crate) fn size(wasm: &[u8], facts: &Facts) -> u64 {
    let mut counted = Counted::default();
    // What can't be read is not run either.
    let _ = counted.count(wasm);
    let unanswered = facts.unanswered.len() as u64 * UNANSWERED;
    counted.bytes.saturating_add(unanswered) + counted.mentions.min(counted.functions) * REFERENCE
}

#[derive(Default)]
struct Counted {
    bytes: u64,
    /// Functions, imported ones among them.
    functions: u64,
    /// How often a function is named where a reference to it can be had from.
    mentions: u64,
}

impl Counted {
    fn add(&mut self, count: u64, each: u64) {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(each));
    }

    fn count(&mut self, wasm: &[u8]) -> wasmparser::Result<()> {
        let (mut parser, mut rest) = (Parser::new(0), wasm);
        loop {
            let payload = match parser.parse(rest, true)? {
                wasmparser::Chunk::Parsed { consumed, payload } => {
                    rest = &rest[consumed..];
                    payload
                }
                wasmparser::Chunk::NeedMoreData(_) => return Ok(()),
            };
            match payload {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        let function = matches!(import.ty, wasmparser::TypeRef::Func(_));
                        self.functions += u64::from(function);
                        self.add(1, IMPORT);
                    }
                }
                Payload::FunctionSection(functions) => {
                    self.functions += u64::from(functions.count());
                }
                Payload::TableSection(tables) => {
                    for table in tables {
                        self.add(1, OWNED);
                        if let TableInit::Expr(value) = table?.init {
                            self.value(&value)?;
                        }
                    }
                }
                Payload::MemorySection(memories) => self.add(memories.count().into(), OWNED),
                Payload::TagSection(tags) => self.add(tags.count().into(), VALUE),
                Payload::GlobalSection(globals) => {
                    for global in globals {
                        self.add(1, VALUE);
                        self.value(&global?.init_expr)?;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let function = matches!(export?.kind, ExternalKind::Func);
                        self.mentions += u64::from(function);
                    }
                }
                Payload::ElementSection(segments) => {
                    for segment in segments {
                        let segment = segment?;
                        self.add(1, SEGMENT);
                        let count = match &segment.items {
                            ElementItems::Functions(functions) => {
                                self.mentions += u64::from(functions.count());
                                functions.count()
                            }
                            ElementItems::Expressions(_, values) => {
                                for value in values.clone() {
                                    self.value(&value?)?;
                                }
                                values.count()
                            }
                        };
                        if let ElementKind::Passive = segment.kind {
                            self.add(count.into(), ELEMENT);
                        }
                    }
                }
                Payload::DataSection(segments) => self.add(segments.count().into(), SEGMENT),
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    rest = rest.get(size as usize..).unwrap_or_default();
                }
                Payload::End(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// A value that is computed when a module is instantiated.
    fn value(&mut self, value: &ConstExpr<'_>) -> wasmparser::Result<()> {
        for operator in value.get_operators_reader() {
            self.mentions += u64::from(matches!(operator?, Operator::RefFunc { .. }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> u64 {
        size(&wat::parse_str(text).unwrap(), &Facts::default())
    }

    #[test]
    fn what_is_named_is_counted_and_no_function_twice() {
        let functions = "(func $a) (func $b) (func $c)";
        let with = |more: &str| of(&format!("(module {functions} {more})"));
        assert_eq!(with(""), 0);
        assert_eq!(with("(elem declare func $a $b)"), 2 * REFERENCE + SEGMENT);
        let twice = "(elem declare func $a $b $a $b $a $b)";
        assert_eq!(with(twice), 3 * REFERENCE + SEGMENT);
        assert_eq!(
            with(r#"(export "a" (func $a)) (export "m" (memory 0)) (memory 1)"#),
            REFERENCE + OWNED
        );
        assert_eq!(
            with("(global funcref (ref.func $a)) (global (mut i64) (i64.const 7))"),
            2 * VALUE + REFERENCE
        );
        assert_eq!(
            with("(elem funcref (ref.func $c) (ref.null func))"),
            2 * ELEMENT + REFERENCE + SEGMENT
        );
        assert_eq!(
            with("(table funcref (elem $a $b)) (memory 1) (data \"x\")"),
            OWNED + 2 * REFERENCE + SEGMENT + OWNED + SEGMENT
        );
        assert_eq!(
            of(r#"(module (import "a" "b" (func $f)) (export "f" (func $f)))"#),
            IMPORT + REFERENCE
        );
    }

    #[test]
    fn what_stands_behind_code_is_counted_and_what_is_cut_short_is_no_matter() {
        let text = "(module (memory 1) (func (drop (i32.const 1))) (data \"x\") (data \"y\"))";
        let wasm = wat::parse_str(text).unwrap();
        assert_eq!(of(text), OWNED + 2 * SEGMENT);
        for len in 0..wasm.len() {
            assert!(size(&wasm[..len], &Facts::default()) <= OWNED + 2 * SEGMENT);
        }
    }
}
