//! What a module is made of and what it will need, read from its sections: nothing is compiled.

mod asked;

use std::fmt::Display;

use capfs_devices::foreign::Foreign;
use capfs_devices::identity::digest;
use capfs_modules::{Answer, Refusal, is_wasi, type_answer, whole};
use serde_json::{Value, json};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExternalKind, FuncType, GlobalType, MemoryType, Parser,
    Payload, SubType, TableType, TypeRef,
};
use wasmtime::Engine;

use crate::engine::{ModuleError, validate};
pub use asked::{Asked, lacks};

/// A module's imports and exports.
#[derive(Debug, Default)]
pub struct Description {
    /// The name of its file.
    program: String,
    /// Its digest, which is who it is unless somebody says otherwise.
    digest: String,
    imports: Vec<Import>,
    exports: Vec<Export>,
    /// Why it can't run, if it can't.
    verdict: Option<Refusal>,
}

#[derive(Debug)]
struct Import {
    module: String,
    name: String,
    ty: String,
    answer: Answer,
}

#[derive(Debug)]
struct Export {
    name: String,
    ty: String,
}

/// Imports, or exports, that are listed at most, and bytes of them: a module can have a million of each.
const LISTED_MAX: usize = 1000;
const LISTED_BYTES_MAX: usize = 128 << 10;

/// Those of a list that are shown, and how many more there are; `size` is that of one of them.
fn listed<T>(all: &[T], size: impl Fn(&T) -> usize) -> (&[T], usize) {
    let mut left = LISTED_BYTES_MAX;
    let fits = all.iter().take(LISTED_MAX).take_while(|one| {
        let rest = left.checked_sub(size(one));
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    let (shown, more) = all.split_at(fits.count());
    (shown, more.len())
}

/// Checks a module and describes it; `name` is that of its file.
///
/// # Errors
/// See [`ModuleError`].
pub fn describe(engine: &Engine, wasm: &[u8], name: &str) -> Result<Description, ModuleError> {
    let refused = |refusal| ModuleError::refused(name, refusal);
    whole(wasm).map_err(refused)?;
    validate(engine, wasm, name)?;
    let definitions = Definitions::read(wasm);
    let definitions = definitions.map_err(|error| refused(Refusal::Invalid(error.to_string())))?;
    Ok(Description {
        program: name.to_owned(),
        digest: digest(wasm),
        verdict: capfs_modules::read(wasm).err(),
        ..definitions.description
    })
}

/// The index spaces of a module as far as they have been read, and what was described by them.
#[derive(Default)]
struct Definitions {
    types: Vec<SubType>,
    /// The type of each function.
    functions: Vec<u32>,
    tables: Vec<TableType>,
    memories: Vec<MemoryType>,
    globals: Vec<GlobalType>,
    description: Description,
}

impl Definitions {
    fn read(wasm: &[u8]) -> Result<Definitions, BinaryReaderError> {
        let mut definitions = Definitions::default();
        for payload in Parser::new(0).parse_all(wasm) {
            definitions.add(payload?)?;
        }
        Ok(definitions)
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types.extend(group?.into_types());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?);
                }
            }
            Payload::FunctionSection(section) => {
                for function in section {
                    self.functions.push(function?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(table?.ty);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    self.globals.push(global?.ty);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let ty = self.exported(export.kind, export.index as usize);
                    self.description.exports.push(Export {
                        name: export.name.to_owned(),
                        ty,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) {
        let mut answered = Answer::Missing;
        let ty = match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.functions.push(index);
                if let Some(ty) = self.function_type(index) {
                    answered = type_answer(import.module, import.name, ty);
                }
                self.function(index)
            }
            TypeRef::Table(ty) => {
                self.tables.push(ty);
                table(&ty)
            }
            TypeRef::Memory(ty) => {
                self.memories.push(ty);
                memory(&ty)
            }
            TypeRef::Global(ty) => {
                self.globals.push(ty);
                global(&ty)
            }
            TypeRef::Tag(_) => "tag".to_owned(),
        };
        self.description.imports.push(Import {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
            ty,
            answer: answered,
        });
    }

    /// The module is valid, so every index has what it stands for.
    fn exported(&self, kind: ExternalKind, index: usize) -> String {
        let described = match kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                self.functions.get(index).map(|ty| self.function(*ty))
            }
            ExternalKind::Table => self.tables.get(index).map(table),
            ExternalKind::Memory => self.memories.get(index).map(memory),
            ExternalKind::Global => self.globals.get(index).map(global),
            ExternalKind::Tag => Some("tag".to_owned()),
        };
        described.unwrap_or_default()
    }

    fn function(&self, ty: u32) -> String {
        let described = self.function_type(ty).map(function);
        described.unwrap_or_else(|| "func".to_owned())
    }

    fn function_type(&self, ty: u32) -> Option<&FuncType> {
        match &self.types.get(ty as usize)?.composite_type.inner {
            CompositeInnerType::Func(ty) => Some(ty),
            _ => None,
        }
    }
}

fn function(ty: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| {
        let names: Vec<String> = types.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    format!("func ({}) -> ({})", list(ty.params()), list(ty.results()))
}

fn table(ty: &TableType) -> String {
    format!("table {} elements or more", ty.initial)
}

fn memory(ty: &MemoryType) -> String {
    match ty.maximum {
        Some(maximum) => format!("memory {} to {maximum} pages", ty.initial),
        None => format!("memory {} pages or more", ty.initial),
    }
}

fn global(ty: &GlobalType) -> String {
    format!("global {}", ty.content_type)
}

impl Export {
    fn size(&self) -> usize {
        self.name.len() + self.ty.len()
    }
}

impl Import {
    fn size(&self) -> usize {
        self.module.len() + self.name.len() + self.ty.len()
    }

    /// How this host answers it.
    fn provided(&self) -> &'static str {
        match self.answer {
            Answer::Provided => "provided",
            Answer::Nosys => "answered with ENOSYS",
            Answer::OtherType => "missing: the call has another type",
            Answer::Missing => "missing",
        }
    }
}

/// Appends a line: a word for what it is about, and text of which nothing need be the host's.
fn line(text: &mut String, key: &str, what: impl Display) {
    *text += &format!("{key:<9}{}\n", Foreign(what));
}

impl Description {
    fn is_command(&self) -> bool {
        self.exports.iter().any(|export| export.name == "_start")
    }

    /// What the imports say that the program will need, in words.
    fn needs(&self) -> Vec<&'static str> {
        const NEEDS: &[(&str, &str)] = &[
            (
                "path_",
                "directories (--dir or --mount), to find files by name",
            ),
            ("args_get", "arguments"),
            ("environ_get", "environment variables (--env)"),
            ("clock_", "clocks"),
            ("random_get", "randomness"),
            ("poll_oneoff", "to wait for time or for descriptors"),
            ("sock_", "sockets that are handed to it (--listen)"),
        ];
        NEEDS
            .iter()
            .filter(|(prefix, _)| {
                self.imports
                    .iter()
                    .any(|import| is_wasi(&import.module) && import.name.starts_with(prefix))
            })
            .map(|(_, need)| *need)
            .collect()
    }

    /// The description as JSON, with what a manifest asks for.
    pub fn as_json(&self, asked: Option<&Asked>) -> Value {
        let (imports, more_imports) = listed(&self.imports, Import::size);
        let (exports, more_exports) = listed(&self.exports, Export::size);
        let imports: Vec<Value> = imports
            .iter()
            .map(|import| {
                json!({
                    "module": import.module,
                    "name": import.name,
                    "type": import.ty,
                    "status": import.provided(),
                })
            })
            .collect();
        let exports: Vec<Value> = exports
            .iter()
            .map(|export| json!({ "name": export.name, "type": export.ty }))
            .collect();
        let refused = self.verdict.as_ref();
        json!({
            "program": self.program,
            "command": self.is_command(),
            "refused": refused.map(|refusal| json!({ "code": refusal.code(), "text": refusal.to_string() })),
            "identity": self.digest,
            "digest": self.digest,
            "imports": imports,
            "more_imports": more_imports,
            "exports": exports,
            "more_exports": more_exports,
            "needs": self.needs(),
            "manifest": asked.map(Asked::as_json),
        })
    }

    /// The description as text, a line each, behind what a manifest asks for: many modules have more to tell than fits a screen.
    pub fn as_text(&self, asked: Option<&Asked>) -> String {
        let mut text = asked.map_or_else(String::new, Asked::as_text);
        line(&mut text, "program", &self.program);
        let kind = match self.is_command() {
            true => "a WASI command",
            false => "not a command: no `_start`",
        };
        line(&mut text, "kind", kind);
        let (imports, more) = listed(&self.imports, Import::size);
        for import in imports {
            let Import {
                module, name, ty, ..
            } = import;
            let provided = import.provided();
            line(
                &mut text,
                "import",
                format!("{module}.{name}: {ty} ({provided})"),
            );
        }
        if more > 0 {
            line(&mut text, "import", format!("and {more} more"));
        }
        let (exports, more) = listed(&self.exports, Export::size);
        for Export { name, ty } in exports {
            line(&mut text, "export", format!("{name}: {ty}"));
        }
        if more > 0 {
            line(&mut text, "export", format!("and {more} more"));
        }
        for need in self.needs() {
            line(&mut text, "needs", need);
        }
        if let Some(refusal) = &self.verdict {
            let code = refusal.code();
            line(&mut text, "refused", format!("it {refusal} ({code})"));
        }
        line(
            &mut text,
            "digest",
            format!(
                "{} (of the module; who it is, unless told otherwise)",
                self.digest
            ),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::engine;

    #[test]
    fn what_is_listed_is_bounded_in_number_and_length() {
        let described = |count: usize, name: &str| {
            let imports =
                (0..count).map(|index| format!("(import \"env\" \"{name}{index}\" (func))"));
            let exports =
                (0..count).map(|index| format!("(export \"{name}{index}\" (func {index}))"));
            let text: String = imports.chain(exports).collect();
            let wasm = wat::parse_str(format!("(module {text})")).unwrap();
            let described = describe(&engine(), &wasm, "many").unwrap();
            (described.as_text(None), described.as_json(None))
        };
        let (text, json) = described(LISTED_MAX + 7, "f");
        assert_eq!(text.matches("\nimport   ").count(), LISTED_MAX + 1);
        assert_eq!(text.matches("   and 7 more\n").count(), 2);
        assert_eq!(json["imports"].as_array().unwrap().len(), LISTED_MAX);
        assert_eq!(
            (&json["more_imports"], &json["more_exports"]),
            (&json!(7), &json!(7))
        );
        let (text, json) = described(10, &"f".repeat(50_000));
        assert!(text.len() < 4 * LISTED_BYTES_MAX, "{}", text.len());
        assert_eq!(json["more_exports"], json!(8));
        let (text, json) = described(3, "f");
        assert!(!text.contains("more\n"));
        assert_eq!(json["more_imports"], json!(0));
    }
}
