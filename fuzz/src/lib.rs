//! What is fed with anything at all: readers of files and texts that come from strangers.
//!
//! A [`Target`] is a function that takes any bytes and must neither panic nor take long, and some inputs to begin with. Each is run in
//! two ways:
//! - **short**, in every test run: a fixed number of inputs, made from the seeds by a generator that is the same each time
//!   (`fuzz/tests/short.rs`), and whatever once failed (`fuzz/found`)
//! - **long**, on demand: libFuzzer, which sees which code an input reaches (`npm run fuzz -- TARGET --minutes 10`)
//!
//! A new target is a module here and a line in [`TARGETS`].

mod archive;
mod frozen;
mod grant;
mod headers;
mod manifest;
mod module;
pub mod mutate;
mod namespace;
mod remote;
mod volume;

/// Something that reads what strangers write.
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is fed with it.
    pub about: &'static str,
    /// Takes any bytes. What panics is a fault.
    pub run: fn(&[u8]),
    /// Inputs to begin with: what is well-formed, so that what is nearly so is found soon.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    archive::TARGET,
    frozen::TARGET,
    grant::TARGET,
    headers::TARGET,
    manifest::TARGET,
    module::TARGET,
    namespace::TARGET,
    remote::TARGET,
    volume::TARGET,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
