//! The stub: what an agent imports.
//!
//! An agent needs its imports before it has a memory, and the adapter needs the agent's memory before
//! it exists. The stub breaks the circle: each of its functions calls through a table that the
//! adapter fills as soon as the agent has been instantiated.

use std::fmt::Write;

use crate::calls;

/// The stub in the text format.
pub fn text() -> String {
    let mut wat = String::from("(module\n");
    let slots = calls::slots();
    let _ = writeln!(wat, "  (table (export \"table\") {slots} {slots} funcref)");
    for (slot, call) in calls::returning().enumerate() {
        let (name, list) = (call.name, calls::parameter_list(call));
        let push = calls::push_parameters(call);
        let _ = writeln!(
            wat,
            "  (func (export \"{name}\"){list} (result i32)\n    \
               (call_indirect{list} (result i32){push} (i32.const {slot})))"
        );
    }
    let _ = writeln!(
        wat,
        "  (func (export \"{}\") (param i32)\n    \
           (call_indirect (param i32) (local.get 0) (i32.const {})))",
        calls::PROC_EXIT,
        slots - 1
    );
    wat.push_str(")\n");
    wat
}
