//! WebAssembly modules: what reads them before anything else does, and the translation of the older exception instructions.

use capfs_modules::translate;
use wasmparser::{Validator, WasmFeatures};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "module",
    about: "modules: verdicts, and the translation of older exceptions",
    run,
    seeds,
};

fn run(bytes: &[u8]) {
    let _ = capfs_modules::read(bytes);
    let older = WasmFeatures::all() | WasmFeatures::LEGACY_EXCEPTIONS;
    let valid =
        |features, module: &[u8]| Validator::new_with_features(features).validate_all(module);
    let Ok(translated) = translate(bytes) else {
        return;
    };
    if valid(older, bytes).is_ok() {
        let present = WasmFeatures::all() - WasmFeatures::LEGACY_EXCEPTIONS;
        let wrong = valid(present, &translated).err();
        assert!(
            wrong.is_none(),
            "a valid module became an invalid one: {wrong:?}"
        );
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let modules = [
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1 10) (table 3 funcref) (global (mut i64) (i64.const 7))
            (func (export "_start") (call $exit (i32.const 3)))
            (elem (i32.const 0) $exit) (data (i32.const 8) "text"))"#,
        r#"(module
            (memory (export "memory") 1) (tag $e (param i32)) (tag $f)
            (func $thrower (param i32) (throw $e (local.get 0)))
            (func (export "_start") (local i32)
              block $out
                try $outer (result i32)
                  try
                    i32.const 1 call $thrower
                  delegate $outer
                  i32.const 2
                catch $e
                  local.set 0
                  try
                    throw $f
                  catch $f
                    rethrow $outer
                  catch_all
                    br $out
                  end
                  local.get 0
                catch_all
                  rethrow $outer
                end
                drop
              end))"#,
        r#"(module
            (memory (export "memory") 1) (tag $e (param i32 i64))
            (func (export "_start")
              try (result i64 i32)
                i64.const 1 i32.const 2
              catch $e
                drop drop i64.const 3 i32.const 4
              end
              drop drop))"#,
    ];
    let modules = modules.map(|text| wat::parse_str(text).expect("the text of a seed is right"));
    modules.into()
}
