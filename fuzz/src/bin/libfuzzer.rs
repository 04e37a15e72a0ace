//! A target under libFuzzer, chosen by `CAPFS_FUZZ_TARGET`. `npm run fuzz` builds and starts it.
#![no_main]

use std::sync::LazyLock;

use capfs_fuzz::{Target, target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("CAPFS_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("CAPFS_FUZZ_TARGET={name} is no target"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
