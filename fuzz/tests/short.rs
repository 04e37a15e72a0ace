//! Each target with a fixed number of inputs, and with what once failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use capfs_fuzz::mutate::{Random, mutated};
use capfs_fuzz::{TARGETS, Target};

/// Inputs made for each target; more by `CAPFS_FUZZ_INPUTS`.
const INPUTS: usize = 20_000;

fn inputs() -> usize {
    match std::env::var("CAPFS_FUZZ_INPUTS") {
        Ok(text) => text.parse().expect("CAPFS_FUZZ_INPUTS is a number"),
        Err(_) => INPUTS,
    }
}

/// Feeds one input, and says which it was if it fails.
fn feed(target: &Target, origin: &str, input: &[u8]) {
    let fed = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if fed.is_err() {
        // It is made again by the same seed; what is long says nothing to people.
        let front = input[..input.len().min(512)].escape_ascii();
        panic!(
            "{}: {origin} of {} bytes fails: b\"{front}\"",
            target.name,
            input.len()
        );
    }
}

#[test]
fn nothing_that_is_nearly_well_formed_makes_a_target_fail() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in &seeds {
            feed(target, "a seed", seed);
        }
        let mut random = Random::new(0x5eed);
        for round in 0..inputs() {
            let seed = &seeds[random.below(seeds.len())];
            let other = &seeds[random.below(seeds.len())];
            let input = mutated(&mut random, seed, other);
            feed(target, &format!("input {round}"), &input);
        }
    }
}

#[test]
fn what_once_failed_does_not_any_more() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    for target in TARGETS {
        let Ok(entries) = std::fs::read_dir(found.join(target.name)) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("the folder can be listed").path();
            let input = std::fs::read(&path).expect("a found input can be read");
            feed(target, &path.display().to_string(), &input);
        }
    }
}
