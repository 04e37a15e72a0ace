//! The calls that stub and adapter carry, in the order of their slots in the stub's table.

use capfs_runtime::abi::{Call, PREVIEW1, Param, UNSTABLE};

/// The name of the one call without a result. It stands in the slot behind all others.
pub const PROC_EXIT: &str = "proc_exit";

/// Every call that returns an errno; the index is the slot.
pub fn returning() -> impl Iterator<Item = &'static Call> {
    PREVIEW1.iter().chain(UNSTABLE)
}

/// The number of slots: every call that returns, and `proc_exit`.
pub fn slots() -> usize {
    returning().count() + 1
}

/// The parameters as the text format spells them, such as `i32 i64 i32`.
pub fn parameters(call: &Call) -> String {
    let names: Vec<&str> = call
        .params
        .iter()
        .map(|param| match param {
            Param::I32 => "i32",
            Param::I64 => "i64",
        })
        .collect();
    names.join(" ")
}

/// `(param …)` for a call, or nothing where it takes nothing.
pub fn parameter_list(call: &Call) -> String {
    if call.params.is_empty() {
        String::new()
    } else {
        format!(" (param {})", parameters(call))
    }
}

/// Pushes every parameter of a call.
pub fn push_parameters(call: &Call) -> String {
    (0..call.params.len())
        .map(|index| format!(" (local.get {index})"))
        .collect()
}
