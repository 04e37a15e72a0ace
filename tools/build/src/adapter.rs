//! The adapter: what stands between an agent and the kernel, instantiated once per agent.
//!
//! It does two things. It puts a function for every call into the stub's table, which asks the
//! kernel and, when the kernel would block, waits by the host's `slow` and asks again. And it puts
//! the agent's memory within the kernel's reach, as functions in the kernel's own table.
//!
//! # What the kernel answers
//! At least 0: an errno for the guest. -1: would block. -2: the process has ended; the adapter traps,
//! which a guest can't catch.
//!
//! # What the host supplies
//! - `slow(reason) -> i32`: waits for something to happen (reason 0), or lets the worker's event loop
//!   run once (reason 1). Not 0: the process has ended. With JSPI it suspends, so between it and the
//!   agent's start there may be no JavaScript frame.
//! - `tick() -> i32`: called every so many calls. It returns how many calls may pass until the next
//!   one; as a negative number when the event loop should run first; 0 when the process has ended.
//! - `copy_in`, `copy_out` (`single` only): one copy between the two memories.

use std::fmt::Write;

use crate::calls;

/// Which memories the adapter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memories {
    /// The agent's and the kernel's: bytes move by `memory.copy`. Needs the multi-memory proposal.
    Multi,
    /// The agent's alone: a few bytes pass by value, longer runs through one copy by JavaScript.
    Single,
}

/// The functions that the kernel reaches the agent's memory by, in the order of their slots behind
/// `base`. worker-shim's `guest` module has the other side.
const MEMORY_SLOTS: &str =
    "$load8 $load32 $load64 $store8 $store32 $store64 $copy_in $copy_out $memory_size";

/// How many slots the adapter fills in the kernel's table.
#[cfg(test)]
fn memory_slots() -> usize {
    MEMORY_SLOTS.split(' ').count()
}

const LOADS_AND_STORES: &str = r#"
  (func $load8 (param $at i32) (result i32) (i32.load8_u $agent (local.get $at)))
  (func $load32 (param $at i32) (result i32) (i32.load $agent (local.get $at)))
  (func $load64 (param $at i32) (result i64) (i64.load $agent (local.get $at)))
  (func $store8 (param $at i32) (param $value i32) (i32.store8 $agent (local.get $at) (local.get $value)))
  (func $store32 (param $at i32) (param $value i32) (i32.store $agent (local.get $at) (local.get $value)))
  (func $store64 (param $at i32) (param $value i64) (i64.store $agent (local.get $at) (local.get $value)))
  (func $memory_size (result i32) (memory.size $agent))
"#;

/// Copies up to 16 bytes by loads and stores: `memory.copy` costs tens of nanoseconds before its
/// first byte.
fn multi_copy(name: &str, to: &str, from: &str) -> String {
    format!(
        r#"
  (func ${name} (param $to i32) (param $from i32) (param $length i32)
    (local $to_end i32) (local $from_end i32)
    (if (i32.gt_u (local.get $length) (i32.const 16)) (then
      (memory.copy ${to} ${from} (local.get $to) (local.get $from) (local.get $length))
      (return)))
    (local.set $to_end (i32.add (local.get $to) (local.get $length)))
    (local.set $from_end (i32.add (local.get $from) (local.get $length)))
    (if (i32.ge_u (local.get $length) (i32.const 8)) (then
      (i64.store ${to} (local.get $to) (i64.load ${from} (local.get $from)))
      (i64.store ${to} (i32.sub (local.get $to_end) (i32.const 8))
        (i64.load ${from} (i32.sub (local.get $from_end) (i32.const 8))))
      (return)))
    (if (i32.ge_u (local.get $length) (i32.const 4)) (then
      (i32.store ${to} (local.get $to) (i32.load ${from} (local.get $from)))
      (i32.store ${to} (i32.sub (local.get $to_end) (i32.const 4))
        (i32.load ${from} (i32.sub (local.get $from_end) (i32.const 4))))
      (return)))
    (if (i32.ge_u (local.get $length) (i32.const 2)) (then
      (i32.store16 ${to} (i32.sub (local.get $to_end) (i32.const 2))
        (i32.load16_u ${from} (i32.sub (local.get $from_end) (i32.const 2))))))
    (if (local.get $length) (then
      (i32.store8 ${to} (local.get $to) (i32.load8_u ${from} (local.get $from))))))
"#
    )
}

/// The adapter in the text format.
pub fn text(memories: Memories) -> String {
    let mut wat = String::from("(module\n  (import \"agent\" \"memory\" (memory $agent 0))\n");
    if memories == Memories::Multi {
        wat.push_str("  (import \"kernel\" \"memory\" (memory $kernel 0))\n");
    }
    wat.push_str(
        "  (import \"kernel\" \"table\" (table $kernel_table 0 funcref))\n  \
           (import \"kernel\" \"base\" (global $base i32))\n",
    );
    let slots = calls::slots();
    let _ = writeln!(
        wat,
        "  (import \"stub\" \"table\" (table $stub_table {slots} funcref))"
    );
    wat.push_str(
        "  (import \"host\" \"slow\" (func $slow (param i32) (result i32)))\n  \
           (import \"host\" \"tick\" (func $tick (result i32)))\n",
    );
    if memories == Memories::Single {
        wat.push_str(
            "  (import \"host\" \"copy_in\" (func $copy_in (param i32 i32 i32)))\n  \
               (import \"host\" \"copy_out\" (func $copy_out (param i32 i32 i32)))\n",
        );
    }
    for call in calls::returning() {
        let (name, list) = (call.name, calls::parameter_list(call));
        let _ = writeln!(
            wat,
            "  (import \"kernel\" \"{name}\" (func $kernel_{name}{list} (result i32)))"
        );
    }
    wat.push_str("  (import \"kernel\" \"proc_exit\" (func $kernel_proc_exit (param i32)))\n");

    wat.push_str(LOADS_AND_STORES);
    if memories == Memories::Multi {
        wat.push_str(&multi_copy("copy_in", "kernel", "agent"));
        wat.push_str(&multi_copy("copy_out", "agent", "kernel"));
    }
    wat.push_str(WAITING);
    for call in calls::returning() {
        wat.push_str(&call_through(
            call.name,
            &calls::parameter_list(call),
            &calls::push_parameters(call),
            call.params.len(),
        ));
    }
    wat.push_str(
        "\n  (func $proc_exit (param i32)\n    (call $kernel_proc_exit (local.get 0))\n    (unreachable))\n",
    );

    wat.push_str("\n  (elem (table $stub_table) (i32.const 0) func");
    for call in calls::returning() {
        let _ = write!(wat, " ${}", call.name);
    }
    wat.push_str(" $proc_exit)\n");
    let _ = writeln!(
        wat,
        "  (elem (table $kernel_table) (global.get $base) func {MEMORY_SLOTS})"
    );
    wat.push_str(")\n");
    wat
}

const WAITING: &str = r#"
  ;; Calls until the next tick. It starts at 1, so that the first call ticks.
  (global $left (mut i32) (i32.const 1))

  (func $pause (local $next i32)
    (local.set $next (call $tick))
    (if (i32.eqz (local.get $next)) (then (unreachable)))
    (if (i32.lt_s (local.get $next) (i32.const 0)) (then
      (if (call $slow (i32.const 1)) (then (unreachable)))
      (local.set $next (i32.sub (i32.const 0) (local.get $next)))))
    (global.set $left (local.get $next)))

  (func $wait (param $answer i32)
    (if (i32.ne (local.get $answer) (i32.const -1)) (then (unreachable)))
    (if (call $slow (i32.const 0)) (then (unreachable)))
    ;; However long that was: the next call looks at the clock.
    (global.set $left (i32.const 1)))
"#;

fn call_through(name: &str, list: &str, push: &str, answer: usize) -> String {
    format!(
        r#"
  (func ${name}{list} (result i32) (local i32)
    (global.set $left (local.tee {answer} (i32.sub (global.get $left) (i32.const 1))))
    (if (i32.eqz (local.get {answer})) (then (call $pause)))
    (loop $again
      (if (i32.ge_s (local.tee {answer} (call $kernel_{name}{push})) (i32.const 0))
        (then (return (local.get {answer}))))
      (call $wait (local.get {answer}))
      (br $again))
    (unreachable))
"#
    )
}

#[cfg(test)]
mod tests {
    use super::{Memories, memory_slots, text};
    use wasmparser::{Validator, WasmFeatures};

    fn valid(wat: &str, features: WasmFeatures) -> bool {
        let bytes = wat::parse_str(wat).expect("the text parses");
        Validator::new_with_features(features)
            .validate_all(&bytes)
            .is_ok()
    }

    #[test]
    fn the_multi_adapter_is_valid_and_needs_multi_memory() {
        let wat = text(Memories::Multi);
        assert!(valid(&wat, WasmFeatures::WASM3));
        assert!(!valid(&wat, WasmFeatures::WASM2));
    }

    #[test]
    fn the_single_adapter_is_valid_without_new_features() {
        assert!(valid(&text(Memories::Single), WasmFeatures::WASM2));
    }

    #[test]
    fn the_stub_is_valid_and_exports_every_call() {
        let wat = crate::stub::text();
        assert!(valid(&wat, WasmFeatures::WASM2));
        assert_eq!(wat.matches("(export ").count(), crate::calls::slots() + 1);
        assert!(wat.contains("\"unstable_poll_oneoff\""));
    }

    #[test]
    fn the_kernel_expects_nine_memory_functions() {
        assert_eq!(memory_slots(), 9);
    }
}
