//! The verdict about each kind of odd module, with the whole file at hand and in parts.

use capfs_modules::{Facts, Reader, Refusal, read};

/// Reads a file in the parts that the reader asks for, without saying how long it is, until that is seen which decides.
fn read_arriving(wasm: &[u8]) -> Result<Facts, Refusal> {
    let mut reader = Reader::new(u64::MAX);
    while let Some(wanted) = reader.wanted()
        && !reader.past_definitions()
    {
        let end = (wanted.end as usize).min(wasm.len());
        reader.give(&wasm[(wanted.start as usize).min(end)..end])?;
    }
    reader.facts()
}

fn verdict(wat: &str) -> Result<Facts, Refusal> {
    let wasm = wat::parse_str(wat).unwrap();
    let whole = read(&wasm);
    let arriving = read_arriving(&wasm);
    assert_eq!(whole.as_ref().err(), arriving.as_ref().err(), "{wat}");
    whole
}

fn refused(wat: &str, code: &str, text: &str) {
    let refusal = verdict(wat).expect_err(wat);
    assert_eq!(refusal.code(), code, "{wat}");
    assert!(refusal.to_string().contains(text), "{wat}: {refusal}");
}

const COMMAND: &str = r#"(memory (export "memory") 1) (func (export "_start"))"#;

#[test]
fn commands_run() {
    let facts = verdict(&format!("(module {COMMAND})")).unwrap();
    assert_eq!((facts.start, facts.memory, facts.tables), (None, 0, 0));
    assert_eq!(facts.memory_minimum(), 65_536);
    let facts = verdict(&format!(
        "(module {COMMAND} (func $first) (start $first) (table 1 funcref))"
    ));
    assert_eq!(facts.as_ref().unwrap().start, Some(1));
    assert_eq!(facts.unwrap().tables, 1);
    let facts = verdict(&format!("(module (memory 1) {COMMAND})")).unwrap();
    assert_eq!((facts.memory, facts.memory_minimum()), (1, 2 * 65_536));
}

#[test]
fn imports() {
    let import = |import: &str| format!("(module (import {import}) {COMMAND})");
    refused(
        &import(r#""env" "f" (func)"#),
        "MODULE_IMPORTS",
        "env.f (function)",
    );
    refused(
        &import(r#""env" "memory" (memory 1)"#),
        "MODULE_IMPORTS",
        "env.memory (memory)",
    );
    refused(
        &import(r#""env" "t" (table 1 funcref)"#),
        "MODULE_IMPORTS",
        "env.t (table)",
    );
    refused(
        &import(r#""env" "e" (tag)"#),
        "MODULE_IMPORTS",
        "env.e (tag)",
    );
    let global = import(r#""wasi_snapshot_preview1" "fd_write" (global i32)"#);
    refused(
        &global,
        "MODULE_IMPORTS",
        "wasi_snapshot_preview1.fd_write (global)",
    );
    let other = import(r#""wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32))"#);
    refused(
        &other,
        "MODULE_IMPORTS",
        "wasi_snapshot_preview1.fd_close (a function of another type)",
    );
    let extension = import(r#""wasi_unstable" "sock_open" (func (param i32 f32) (result i32))"#);
    assert_eq!(verdict(&extension).unwrap().unanswered[0].name, "sock_open");
    let unanswerable = import(r#""wasi_unstable" "sock_open" (func (result i64))"#);
    refused(&unanswerable, "MODULE_IMPORTS", "another type");
    let draft =
        import(r#""wasi_snapshot_preview1" "sock_accept" (func (param i32 i32) (result i32))"#);
    assert_eq!(verdict(&draft).unwrap().unanswered.len(), 1);
    let accept =
        import(r#""wasi_snapshot_preview1" "sock_accept" (func (param i64) (result i32))"#);
    refused(&accept, "MODULE_IMPORTS", "another type");
}

#[test]
fn hostile_names() {
    refused(
        &format!(r#"(module (import "\1b[2J" "a\0ab\e2\80\aec" (func)) {COMMAND})"#),
        "MODULE_IMPORTS",
        r"\u{1b}[2J.a\nb\u{202e}c (function)",
    );
    let many: String = (0..5000)
        .map(|index| format!(r#"(import "env" "f{index}" (func))"#))
        .collect();
    refused(
        &format!("(module {many} {COMMAND})"),
        "MODULE_IMPORTS",
        "env.f15 (function) and ",
    );
}

#[test]
fn starts() {
    let memory = r#"(memory (export "memory") 1)"#;
    refused(&format!("(module {memory})"), "MODULE_NO_START", "library");
    refused(
        &format!(r#"(module {memory} (func (export "_initialize")))"#),
        "MODULE_NO_START",
        "library",
    );
    refused(
        &format!(r#"(module {memory} (global (export "_start") i32 i32.const 0))"#),
        "MODULE_NO_START",
        "library",
    );
    refused(
        &format!(r#"(module {memory} (func (export "_start") (param i32)))"#),
        "MODULE_START_TYPE",
        "takes or returns",
    );
    let result = r#"(func (export "_start") (result i32) i32.const 0)"#;
    refused(
        &format!("(module {memory} {result})"),
        "MODULE_START_TYPE",
        "takes or returns",
    );
    let call = r#"(import "wasi_snapshot_preview1" "sched_yield" (func $f (result i32))) (export "_start" (func $f))"#;
    refused(
        &format!("(module {call} {memory})"),
        "MODULE_START_TYPE",
        "takes or returns",
    );
}

#[test]
fn memories() {
    let start = r#"(func (export "_start"))"#;
    refused(&format!("(module {start})"), "MODULE_NO_MEMORY", "memory");
    refused(
        &format!("(module (memory 1) {start})"),
        "MODULE_NO_MEMORY",
        "memory",
    );
    refused(
        &format!(r#"(module (memory (export "memory") i64 1) {start})"#),
        "MODULE_MEMORY",
        "64-bit",
    );
    refused(
        &format!(r#"(module (memory (export "memory") 1 2 shared) {start})"#),
        "MODULE_MEMORY",
        "threads",
    );
    refused(
        &format!("(module (memory 1 2 shared) {COMMAND})"),
        "MODULE_MEMORY",
        "threads",
    );
    refused(
        &format!(r#"(module (memory (export "memory") 1 (pagesize 1)) {start})"#),
        "MODULE_MEMORY",
        "64 KiB",
    );
    // Another one with 64-bit addresses is none that a call could mean.
    verdict(&format!("(module {COMMAND} (memory i64 1))")).unwrap();
}

#[test]
fn files() {
    let text = |wasm: &[u8]| {
        let refusal = read(wasm).unwrap_err();
        assert_eq!(
            refusal.code(),
            match refusal {
                Refusal::Component => "MODULE_COMPONENT",
                _ => "MODULE_INVALID",
            }
        );
        refusal.to_string()
    };
    assert!(text(b"").contains("it is empty"));
    assert!(text(b"#!/bin/sh\n").contains("a script"));
    assert!(text(b"\x7fELF").contains("native code"));
    assert!(text(b"<!doctype html>").contains("markup"));
    assert!(text(b"(module)").contains("text format"));
    assert!(text(b"\0asm\x02\0\0\0").contains("version"));
    assert!(text(b"\0asm\x0d\0\x01\0").contains("component"));
    assert!(text(b"\0asm\x01\0\0").contains("within its header"));
    assert!(text(b"\0asm\x01\0\0\0\x01").contains("head of the section at byte 8"));
    assert!(text(b"\0asm\x01\0\0\0\x01\x80").contains("head of the section at byte 8"));
    assert!(
        text(b"\0asm\x01\0\0\0\x01\x05\0")
            .contains("4 bytes are missing from the section at byte 8")
    );
    assert!(text(b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\x01").contains("32 bits"));
    let wasm = wat::parse_str(format!("(module {COMMAND} (data \"abc\"))")).unwrap();
    for end in 0..wasm.len() {
        let refusal = read(&wasm[..end]).map(|_| ());
        // Between two sections a file can end.
        if let Err(refusal) = refusal {
            assert!(
                matches!(
                    refusal.code(),
                    "MODULE_INVALID" | "MODULE_NO_START" | "MODULE_NO_MEMORY"
                ),
                "{end}: {refusal}"
            );
        }
    }
}

/// What is written into a module is read again.
fn edited(wat: &str, limit: Option<u64>, start: bool) -> Result<(Vec<u8>, Facts), Refusal> {
    let wasm = wat::parse_str(wat).unwrap();
    let facts = read(&wasm)?;
    let mut edited = Vec::new();
    let mut at = 0;
    for edit in facts.edits(limit, start)? {
        edited.extend_from_slice(&wasm[at..edit.at.start as usize]);
        edited.extend_from_slice(&edit.bytes);
        at = edit.at.end as usize;
    }
    edited.extend_from_slice(&wasm[at..]);
    wasmparser::validate(&edited).unwrap_or_else(|error| panic!("{wat}: {error}"));
    let facts = read(&edited)?;
    Ok((edited, facts))
}

#[test]
fn limits_are_written_into_memories() {
    const MIB: u64 = 1 << 20;
    let limited = |memories: &str, limit| {
        let wat = format!(r#"(module {memories} (func (export "_start")))"#);
        let (_, facts) = edited(&wat, Some(limit), false)?;
        Ok::<_, Refusal>(
            facts
                .memories
                .iter()
                .map(|memory| (memory.initial, memory.maximum))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        limited(r#"(memory (export "memory") 1)"#, MIB),
        Ok(vec![(1, Some(16))])
    );
    assert_eq!(
        limited(r#"(memory (export "memory") 1 8)"#, MIB),
        Ok(vec![(1, Some(8))])
    );
    assert_eq!(
        limited(r#"(memory (export "memory") 1 80)"#, MIB + 1),
        Ok(vec![(1, Some(16))])
    );
    assert_eq!(
        limited(r#"(memory (export "memory") 1)"#, u64::MAX),
        Ok(vec![(1, Some(65_536))])
    );
    let two = r#"(memory 2 8) (memory (export "memory") 1)"#;
    assert_eq!(limited(two, MIB), Ok(vec![(2, Some(2)), (1, Some(14))]));
    let limit = MIB;
    let needed = 17 * 65_536;
    assert_eq!(
        limited(r#"(memory (export "memory") 17)"#, limit),
        Err(Refusal::MemoryLimit { needed, limit })
    );
    assert_eq!(
        limited(r#"(memory 9) (memory (export "memory") 8)"#, limit),
        Err(Refusal::MemoryLimit { needed, limit })
    );
    assert_eq!(
        Refusal::MemoryLimit { needed, limit }.code(),
        "MEMORY_LIMIT"
    );
}

#[test]
fn start_functions_are_exported_instead() {
    let exports: String = (0..130)
        .map(|index| format!(r#"(export "f{index}" (func $first))"#))
        .collect();
    for exports in [
        "",
        &exports,
        r#"(export "capfs-start" (func $first)) (export "capfs-start-1" (func $first))"#,
    ] {
        let wat =
            format!(r#"(module {COMMAND} (func $first) {exports} (start $first) (data "abc"))"#);
        let facts = read(&wat::parse_str(&wat).unwrap()).unwrap();
        let name = facts.start_name();
        let (wasm, facts) = edited(&wat, Some(1 << 20), true).unwrap();
        assert_eq!(facts.start, None);
        assert_eq!(facts.memories[0].maximum, Some(16));
        let exported =
            wasmparser::Parser::new(0)
                .parse_all(&wasm)
                .find_map(|payload| match payload.unwrap() {
                    wasmparser::Payload::ExportSection(section) => section
                        .into_iter()
                        .map(Result::unwrap)
                        .find(|export| export.name == name)
                        .map(|export| export.index),
                    _ => None,
                });
        assert_eq!(exported, Some(1));
    }
    // Where there is none, nothing is written.
    let wasm = wat::parse_str(format!("(module {COMMAND})")).unwrap();
    assert_eq!(read(&wasm).unwrap().edits(None, true), Ok(Vec::new()));
}

/// A module of one section, which says how many entries of these bytes it has.
fn repeated(id: u8, entry: &[u8], count: u32) -> Vec<u8> {
    let leb = |mut value: u32| {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let mut contents = leb(count);
    contents.extend(entry.repeat(count as usize));
    let head = [&[id][..], &leb(contents.len() as u32)].concat();
    [b"\0asm\x01\0\0\0", &head[..], &contents].concat()
}

#[test]
fn what_is_held_of_definitions_is_bounded() {
    const MILLION: u32 = 1_000_000;
    let sections: [(u8, &[u8], u32, &str); 7] = [
        (1, &[0x60, 0, 0], MILLION, "types"),
        (1, &[0x4e, 2, 0x60, 0, 0, 0x60, 0, 0], MILLION / 2, "types"),
        (2, &[0, 0, 3, 0x7f, 0], MILLION, "imports"),
        (2, &[0, 0, 2, 0, 0], 100, "memories"),
        (3, &[0], MILLION, "functions"),
        (5, &[0, 0], 100, "memories"),
        (7, &[0, 0, 0], MILLION, "exports"),
    ];
    for (id, entry, most, what) in sections {
        let text = read(&repeated(id, entry, most + 1))
            .unwrap_err()
            .to_string();
        let bound = if what == "memories" { 100 } else { MILLION };
        assert!(
            text.contains(&format!("it has more than {bound} {what}")),
            "{text}"
        );
    }
}

#[test]
fn definitions_are_weighed() {
    let weight = |more: &str| {
        let module = format!("(module {COMMAND} {more})");
        verdict(&module).unwrap().weight()
    };
    let plain = weight("");
    // A type, two functions, exports: a program pays nothing that matters.
    assert!(plain < 4096, "{plain}");
    let i32s = "i32 ".repeat(1000);
    for (what, more, least) in [
        ("values", format!("(type (func (param {i32s})))"), 64_000),
        (
            "fields",
            format!("(type (struct {}))", "(field i32)".repeat(1000)),
            64_000,
        ),
        ("types", "(type (struct))".repeat(1000), 400_000),
        (
            "a group",
            format!("(rec {})", "(type (struct))".repeat(1000)),
            400_000,
        ),
        ("functions", "(func)".repeat(1000), 64_000),
        ("globals", "(global i32 i32.const 0)".repeat(1000), 100_000),
        ("tags", "(tag)".repeat(1000), 60_000),
        ("tables", "(table 1000 funcref)".repeat(100), 400_000),
        ("elements", "(elem func)".repeat(1000), 100_000),
        (
            "an element",
            format!("(func $f) (elem func {})", "$f ".repeat(1000)),
            8_000,
        ),
        ("segments", "(data)".repeat(1000), 100_000),
        (
            "names",
            format!(r#"(export "{}" (memory 0))"#, "x".repeat(9000)),
            20_000,
        ),
    ] {
        let weighed = weight(&more) - plain;
        assert!(weighed >= least, "{what}: {weighed}");
    }
}

#[test]
fn names_that_a_start_function_could_have_are_counted() {
    let module = |count: u32| {
        let exports =
            (1..=count).map(|number| format!(r#"(export "capfs-start-{number}" (func 0))"#));
        format!("(module {COMMAND} {})", exports.collect::<String>())
    };
    let facts = verdict(&module(1000)).unwrap();
    assert_eq!(facts.start_name(), "capfs-start");
    refused(
        &module(1001),
        "MODULE_INVALID",
        "too many names that begin with `capfs-start`",
    );
}

#[test]
fn functions_without_an_answer_are_counted() {
    let module = |count: u32| {
        let imports =
            (0..count).map(|number| format!(r#"(import "wasi_unstable" "x{number}" (func))"#));
        format!("(module {} {COMMAND})", imports.collect::<String>())
    };
    assert_eq!(verdict(&module(1000)).unwrap().unanswered.len(), 1000);
    refused(
        &module(1002),
        "MODULE_IMPORTS",
        "provides: wasi_unstable.x1000 (function), wasi_unstable.x1001 (function)",
    );
}
