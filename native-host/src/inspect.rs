//! What a module is made of and what it will need.

use serde_json::{Value, json};
use wasmtime::{ExternType, Module};

use crate::linker::{is_known, is_wasi};

fn describe(ty: &ExternType) -> String {
    match ty {
        ExternType::Func(ty) => {
            let list = |types: Vec<String>| types.join(", ");
            let params = list(ty.params().map(|ty| ty.to_string()).collect());
            let results = list(ty.results().map(|ty| ty.to_string()).collect());
            format!("func ({params}) -> ({results})")
        }
        ExternType::Memory(ty) => match ty.maximum() {
            Some(maximum) => format!("memory {} to {maximum} pages", ty.minimum()),
            None => format!("memory {} pages or more", ty.minimum()),
        },
        ExternType::Table(ty) => format!("table {} elements or more", ty.minimum()),
        ExternType::Global(ty) => format!("global {}", ty.content()),
        ExternType::Tag(_) => "tag".to_owned(),
    }
}

/// How this host answers an import.
fn provided(module: &str, name: &str, ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) if is_wasi(module) && is_known(name) => "provided",
        ExternType::Func(_) if is_wasi(module) => "answered with ENOSYS",
        _ => "missing",
    }
}

/// What the imports say that the program will need, in words.
fn needs(module: &Module) -> Vec<&'static str> {
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
            module
                .imports()
                .any(|import| is_wasi(import.module()) && import.name().starts_with(prefix))
        })
        .map(|(_, need)| *need)
        .collect()
}

/// The description as JSON.
pub fn as_json(module: &Module) -> Value {
    let imports: Vec<Value> = module
        .imports()
        .map(|import| {
            let ty = import.ty();
            json!({
                "module": import.module(),
                "name": import.name(),
                "type": describe(&ty),
                "status": provided(import.module(), import.name(), &ty),
            })
        })
        .collect();
    let exports: Vec<Value> = module
        .exports()
        .map(|export| json!({ "name": export.name(), "type": describe(&export.ty()) }))
        .collect();
    json!({
        "command": module.get_export("_start").is_some(),
        "imports": imports,
        "exports": exports,
        "needs": needs(module),
    })
}

/// The description as text, a line each.
pub fn as_text(module: &Module) -> String {
    let mut text = String::new();
    let kind = match module.get_export("_start") {
        Some(_) => "a WASI command",
        None => "not a command: no `_start`",
    };
    text += &format!("kind     {kind}\n");
    for import in module.imports() {
        let ty = import.ty();
        let status = provided(import.module(), import.name(), &ty);
        let (from, name) = (import.module(), import.name());
        text += &format!("import   {from}.{name}: {} ({status})\n", describe(&ty));
    }
    for export in module.exports() {
        text += &format!("export   {}: {}\n", export.name(), describe(&export.ty()));
    }
    for need in needs(module) {
        text += &format!("needs    {need}\n");
    }
    text
}
