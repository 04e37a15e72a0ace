//! What reading a module that is mostly definitions holds, by the peak of the process's memory.
#![cfg(target_os = "linux")]

use std::fs;

use capfs_modules::{held, read};

fn leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A module of types alone.
fn types(count: usize, entries: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    leb(&mut contents, count);
    contents.extend_from_slice(entries);
    let mut wasm = b"\0asm\x01\0\0\0\x01".to_vec();
    leb(&mut wasm, contents.len());
    wasm.extend_from_slice(&contents);
    wasm
}

/// The peak of what this process has had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn types_are_read_in_a_bounded_place() {
    // One group of 900,000 empty structs; 10,000 functions of 2,000 values.
    let mut group = vec![0x4e];
    leb(&mut group, 900_000);
    group.extend([0x5f, 0].repeat(900_000));
    let mut function = vec![0x60];
    for _ in 0..2 {
        leb(&mut function, 1000);
        function.extend([0x7f].repeat(1000));
    }
    let modules = [types(1, &group), types(10_000, &function.repeat(10_000))];
    // What was held before they were there does not count.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    for wasm in &modules {
        // It has no start function, which is seen behind all of it.
        assert_eq!(read(wasm).unwrap_err().code(), "MODULE_NO_START");
        let more = peak() - before;
        assert!(more <= held(wasm.len() as u64), "{more} bytes");
    }
}
