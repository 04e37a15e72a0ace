//! What is valid with the older exception instructions is valid with the present ones once it is translated, and nothing
//! makes the translation panic. How translated programs run is tested where there is an engine, in `native-host`.
#![cfg(feature = "translate")]

use std::borrow::Cow;

use capfs_modules::translate;
use proptest::prelude::*;
use wasmparser::{Validator, WasmFeatures};

fn validate(wasm: &[u8], older: bool) -> Result<(), String> {
    let mut features = WasmFeatures::default();
    features.set(WasmFeatures::LEGACY_EXCEPTIONS, older);
    let validated = Validator::new_with_features(features).validate_all(wasm);
    validated.map(|_| ()).map_err(|error| error.to_string())
}

fn translated(wat: &str) -> Vec<u8> {
    let wasm = wat::parse_str(wat).unwrap();
    validate(&wasm, true).unwrap();
    let translated = translate(&wasm).unwrap().into_owned();
    validate(&translated, false).unwrap_or_else(|error| panic!("{wat}: {error}"));
    translated
}

const TAGS: &str = "(tag $a) (tag $b (param i32)) (tag $c (param i64 f32)) (type $wide (func (param i32 i64) (result i64 i32)))";

#[test]
fn every_form_stays_valid() {
    for body in [
        "try end",
        "try catch_all end",
        "try catch $a end",
        "try nop catch $a nop catch_all nop end",
        "try (result i32) i32.const 1 catch $b catch_all i32.const 2 end drop",
        "try (result i64 f32) i64.const 1 f32.const 2 catch $c end drop drop",
        "i32.const 1 i64.const 2 try (type $wide) drop drop i64.const 1 i32.const 2 catch $b i64.const 3 i32.const 4 br 0 end drop drop",
        "i32.const 1 i64.const 2 try (type $wide) drop drop i64.const 1 i32.const 2 catch $c drop i32.const 4 catch_all rethrow 0 end drop drop",
        "try throw $a delegate 0",
        "try $t try try throw $a delegate $t catch_all unreachable end catch $a end",
        "try try throw $a delegate 1 catch_all end",
        "i32.const 1 i64.const 2 try $t (type $wide) try (type $wide) try (type $wide) drop drop i64.const 1 i32.const 2 delegate $t catch_all unreachable end end drop drop",
        "try catch_all try rethrow 1 catch_all rethrow 0 end end",
        "block $out loop $in try br $out catch $a br $in catch_all br 0 end end end",
        "block $out (result i32) try (result i32) i32.const 1 i32.const 0 br_table 0 $out 0 catch $b br $out end end drop",
        "block $out try catch_all loop try br $out delegate 1 end end end",
        "unreachable try (result i32) unreachable catch $b end drop",
        "return try (param i32) (result i32) catch $b end drop",
        "try unreachable catch $a unreachable end",
        "try i32.const 1 if try rethrow_free catch_all end else throw $a end catch_all end",
    ] {
        let body = body.replace("rethrow_free", "nop");
        translated(&format!(
            "(module {TAGS} (func {body}) (func (param i32 i64) (local f64 f64) {body}))"
        ));
    }
}

#[test]
fn both_kinds_of_instructions_in_one_function() {
    translated(&format!(
        "(module {TAGS} (func block $out try try_table (catch_all 1) (catch $a $out) (catch_all 0) throw $a end catch_all br 0 end end))"
    ));
    translated(
        "(module (func (param (ref null extern)) block $out try local.get 0 br_on_null $out drop catch_all end end))",
    );
}

#[test]
fn what_has_none_of_them_is_handed_back() {
    let wasm =
        wat::parse_str("(module (tag $a) (func block try_table (catch_all 0) throw $a end end))")
            .unwrap();
    assert!(matches!(translate(&wasm), Ok(Cow::Borrowed(same)) if same == wasm));
}

#[test]
fn everything_else_stays_as_it_is() {
    let wat = format!(
        r#"(module $name {TAGS} (import "env" "f" (func $f (param i32)))
        (memory 1) (global $g (mut i32) (i32.const 7)) (table 2 funcref) (export "run" (func $run))
        (func $run (local $count i32) i32.const 1 call $f) (func $caught try call $run catch_all end)
        (elem (i32.const 0) $run $caught) (data (i32.const 8) "text") (@custom "mine" (after data) "bytes"))"#
    );
    let wasm = wat::parse_str(&wat).unwrap();
    let translated = translated(&wat);
    let sections = |wasm: &[u8]| -> Vec<(u8, Vec<u8>)> {
        let mut sections = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            if let Some((id, range)) = payload.unwrap().as_section() {
                sections.push((id, wasm[range.start as usize..range.end as usize].to_vec()));
            }
        }
        sections
    };
    const CODE: u8 = 10;
    let (before, after) = (sections(&wasm), sections(&translated));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before == after, before.0 != CODE, "section {}", before.0);
    }
}

#[test]
fn offsets_into_functions_go() {
    let wat = r#"(module (func (param i32) try (@metadata.code.branch_hint "\01") local.get 0 if end catch_all end))"#;
    let hints = |wasm: &[u8]| wasm.windows(8).any(|bytes| bytes == b"metadata");
    assert!(hints(&wat::parse_str(wat).unwrap()));
    assert!(!hints(&translated(wat)));
}

#[test]
fn too_many_types_are_refused() {
    let list = |ty: &str, count: usize| format!("{ty} ").repeat(count);
    let tags: String = (1..900)
        .map(|count| format!("(tag (param {}))", list("i64", count)))
        .collect();
    let types: String = (0..10)
        .map(|index| format!("(type (func (param {})))", list("i32", 990 - index)))
        .collect();
    let catches: String = (0..899)
        .map(|tag| format!("catch {tag} unreachable "))
        .collect();
    let tries: String = (0..10)
        .map(|ty| {
            format!("(func unreachable try (type {ty}) unreachable {catches} end unreachable)")
        })
        .collect();
    let wasm = wat::parse_str(format!("(module {types} {tags} {tries})")).unwrap();
    validate(&wasm, true).unwrap();
    let error = translate(&wasm).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its exception handlers need too many types of blocks"
    );
}

#[test]
fn what_is_not_valid_is_an_error_or_stays_so() {
    for body in [
        "catch_all",
        "try catch_all catch_all end",
        "try rethrow 0 end",
        "try delegate 9",
        "br 9 try end",
    ] {
        let wasm = wat::parse_str(format!("(module (func {body}))"));
        let Ok(wasm) = wasm else { continue };
        if let Ok(translated) = translate(&wasm) {
            assert!(validate(&translated, false).is_err(), "{body}");
        }
    }
}

/// Instructions that leave the stack as it was, with labels that are there.
fn statements(depth: u32, labels: u32, handlers: Vec<u32>) -> BoxedStrategy<String> {
    let label = 0..labels;
    let simple = prop_oneof![
        Just("nop".to_owned()),
        Just("throw $a".to_owned()),
        Just("i32.const 1 throw $b".to_owned()),
        label.clone().prop_map(|label| format!("br {label}")),
        label
            .clone()
            .prop_map(|label| format!("i32.const 0 br_if {label}")),
        (label.clone(), label)
            .prop_map(|(one, other)| format!("i32.const 0 br_table {one} {other}")),
    ];
    let simple = match handlers.is_empty() {
        true => simple.boxed(),
        false => prop_oneof![
            simple,
            proptest::sample::select(handlers.clone()).prop_map(|label| format!("rethrow {label}"))
        ]
        .boxed(),
    };
    if depth == 0 {
        return simple;
    }
    let deeper: Vec<u32> = handlers.iter().map(|label| label + 1).collect();
    let inner = move || statements(depth - 1, labels + 1, deeper.clone());
    let mut caught = handlers.iter().map(|label| label + 1).collect::<Vec<_>>();
    caught.push(0);
    let handler = move || statements(depth - 1, labels + 1, caught.clone());
    let delegating =
        (inner(), 0..labels).prop_map(|(body, label)| format!("try {body} delegate {label}"));
    let catching = (inner(), handler(), handler(), handler(), 0..6u8).prop_map(
        |(body, one, other, last, which)| {
            let all = format!("catch_all {last}");
            let handlers = match which {
                0 => String::new(),
                1 => all,
                2 => format!("catch $a {one}"),
                3 => format!("catch $b drop {one} {all}"),
                4 => format!("catch $a {one} catch $b drop {other}"),
                _ => format!("catch $b drop {one} catch $a {other} {all}"),
            };
            format!("try {body} {handlers} end")
        },
    );
    let block = inner().prop_map(|body| format!("block {body} end"));
    let more = statements(depth - 1, labels, handlers);
    let one = prop_oneof![2 => delegating, 4 => catching, 1 => block, 2 => simple];
    (one, more)
        .prop_map(|(one, more)| format!("{one} {more}"))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_programs_stay_valid(body in statements(4, 1, Vec::new())) {
        translated(&format!("(module {TAGS} (func {body}))"));
    }

    #[test]
    fn damaged_modules_do_no_harm(
        body in statements(3, 1, Vec::new()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut wasm = wat::parse_str(format!("(module {TAGS} (func {body}))")).unwrap();
        for (at, byte) in changes {
            let at = at.index(wasm.len());
            wasm[at] = byte;
        }
        let valid = validate(&wasm, true).is_ok();
        match translate(&wasm) {
            Ok(translated) if valid => prop_assert_eq!(validate(&translated, false), Ok(())),
            Err(error) if valid => prop_assert!(false, "{}", error),
            _ => {}
        }
        let _ = translate(&wasm[..cut.index(wasm.len())]);
        let _ = capfs_modules::read(&wasm);
    }

    #[test]
    fn any_bytes_do_no_harm(mut wasm in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (translate(&wasm), capfs_modules::read(&wasm));
        wasm.splice(0..0, *b"\0asm\x01\0\0\0");
        let _ = (translate(&wasm), capfs_modules::read(&wasm));
    }
}
