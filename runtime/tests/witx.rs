//! The table of calls against the official witx of both snapshots.
//!
//! The interface descriptions are those that the crate `wasi-common` was generated from. It is named as a
//! dependency so that cargo fetches it, and never built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use capfs_runtime::abi::{Call, PREVIEW1, Param, UNSTABLE};
use witx::{Document, Id, Layout, Module, WasmType};

/// The folder of `wasi-common`, as cargo knows it.
fn descriptions() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        // The only platform on which it is a dependency.
        .args(["--filter-platform", "wasm32-unknown-unknown"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages
        .iter()
        .find(|package| package["name"] == "wasi-common")
        .expect("wasi-common is a dependency");
    Path::new(package["manifest_path"].as_str().expect("a path")).with_file_name("witx")
}

fn load(file: &str) -> Document {
    witx::load(&[descriptions().join(file)]).expect("the witx is well-formed")
}

fn preview1() -> Document {
    load("preview1/wasi_snapshot_preview1.witx")
}

fn unstable() -> Document {
    load("preview0/wasi_unstable.witx")
}

fn module(document: &Document) -> Rc<Module> {
    document.modules().next().expect("one module")
}

/// The functions that return an errno, by name.
fn functions(document: &Document) -> BTreeMap<String, Vec<Param>> {
    let mut functions = BTreeMap::new();
    for function in module(document).funcs() {
        let (params, results) = function.wasm_signature();
        let name = function.name.as_str().to_owned();
        if name == "proc_exit" {
            assert_eq!((&params[..], &results[..]), (&[WasmType::I32][..], &[][..]));
            continue;
        }
        assert_eq!(results, [WasmType::I32], "{name}");
        let params = params
            .into_iter()
            .map(|param| match param {
                WasmType::I32 => Param::I32,
                WasmType::I64 => Param::I64,
                other => panic!("{name} has a parameter of type {other:?}"),
            })
            .collect();
        functions.insert(name, params);
    }
    functions
}

fn rows(calls: &[Call]) -> BTreeMap<String, Vec<Param>> {
    let rows: BTreeMap<_, _> = calls
        .iter()
        .map(|call| (call.name.to_owned(), call.params.to_vec()))
        .collect();
    assert_eq!(rows.len(), calls.len(), "a name stands twice");
    rows
}

#[test]
fn the_table_is_preview1() {
    assert_eq!(rows(PREVIEW1), functions(&preview1()));
}

#[test]
fn every_call_of_the_snapshot_before_is_there() {
    let (now, before) = (rows(PREVIEW1), rows(UNSTABLE));
    let mut replaced = Vec::new();
    for (name, params) in functions(&unstable()) {
        let own = format!("unstable_{name}");
        match before.get(&own) {
            Some(row) => {
                assert_eq!(row, &params, "{own}");
                replaced.push(own);
            }
            None => assert_eq!(now.get(&name), Some(&params), "{name}"),
        }
    }
    assert_eq!(
        replaced,
        before.into_keys().collect::<Vec<_>>(),
        "rows that replace nothing"
    );
}

/// Size, and for a record where its members lie, to any depth.
fn shape(document: &Document, name: &str) -> String {
    let named = document
        .typename(&Id::new(name))
        .unwrap_or_else(|| panic!("no type {name}"));
    let mut shape = String::new();
    describe(named.type_(), &mut shape);
    shape
}

fn describe(ty: &witx::Type, into: &mut String) {
    use std::fmt::Write;
    let layout = ty.mem_size_align();
    write!(into, "{}:{}", layout.size, layout.align).expect("a String takes everything");
    match ty {
        // A flag more does not change where the others are.
        witx::Type::Record(record) if record.bitflags_repr().is_some() => {}
        witx::Type::Record(record) => {
            for member in record.member_layout() {
                write!(into, " {}+{}(", member.member.name.as_str(), member.offset)
                    .expect("a String takes everything");
                describe(member.member.tref.type_(), into);
                into.push(')');
            }
        }
        witx::Type::Variant(variant) => {
            for case in &variant.cases {
                write!(into, " |{}", case.name.as_str()).expect("a String takes everything");
                if let Some(tref) = &case.tref {
                    into.push('(');
                    describe(tref.type_(), into);
                    into.push(')');
                }
            }
        }
        _ => {}
    }
}

/// The structures and numbers in which the snapshots differ are those for which the table has rows.
#[test]
fn only_the_known_types_differ_between_the_snapshots() {
    let (now, before) = (preview1(), unstable());
    let mut differing: Vec<String> = before
        .typenames()
        .map(|named| named.name.as_str().to_owned())
        .filter(|name| now.typename(&Id::new(name)).is_some())
        .filter(|name| shape(&before, name) != shape(&now, name))
        .collect();
    differing.sort();
    assert_eq!(
        differing,
        [
            "filestat",
            "linkcount",
            "subscription",
            "subscription_clock",
            "subscription_u",
            "whence"
        ]
    );
    let size = |document: &Document, name: &str| {
        document
            .typename(&Id::new(name))
            .expect("a type")
            .mem_size_align()
            .size
    };
    assert_eq!(
        (size(&now, "filestat"), size(&before, "filestat")),
        (64, 56)
    );
    assert_eq!(
        (size(&now, "subscription"), size(&before, "subscription")),
        (48, 56)
    );
    assert_eq!((size(&now, "event"), size(&before, "event")), (32, 32));
    assert_eq!((size(&now, "dirent"), size(&now, "fdstat")), (24, 24));
}
