//! Tells the linker to export the kernel's function table and to let it grow: the adapter puts
//! the functions that reach the agent's memory into it.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=--export-table");
        println!("cargo::rustc-link-arg-cdylib=--growable-table");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
