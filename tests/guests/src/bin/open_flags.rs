//! `path_open`'s flags against what is there: nothing, a file, a directory.

use transcript::wasi::{OFLAGS_CREAT, OFLAGS_DIRECTORY, OFLAGS_EXCL, OFLAGS_TRUNC};
use transcript::{
    FIRST, READ, READ_WRITE, close, code_name, contents, make_directory, make_file, open, remove_directory,
    stat_path, type_name, unlink, wasi,
};
use wasi::wasi_snapshot_preview1 as raw;

fn main() {
    let flags = [
        ("none", 0),
        ("CREAT", OFLAGS_CREAT),
        ("CREAT EXCL", OFLAGS_CREAT | OFLAGS_EXCL),
        ("TRUNC", OFLAGS_TRUNC),
        ("CREAT TRUNC", OFLAGS_CREAT | OFLAGS_TRUNC),
        ("DIRECTORY", OFLAGS_DIRECTORY),
    ];
    for (name, flags) in flags {
        for (there, rights) in [
            ("missing", READ_WRITE),
            ("missing", READ),
            ("file", READ_WRITE),
            ("file", READ),
            ("directory", READ_WRITE),
            ("directory", READ),
        ] {
            match there {
                "file" => make_file(FIRST, "it", b"text").unwrap(),
                "directory" => make_directory(FIRST, "it").unwrap(),
                _ => {}
            }
            let how = if rights == READ { "read" } else { "read and write" };
            let outcome = open(FIRST, "it", flags, rights);
            let after = match stat_path(FIRST, 0, "it") {
                Ok(stat) if stat.filetype == wasi::FILETYPE_REGULAR_FILE => {
                    format!("file {:?}", contents(FIRST, "it").unwrap())
                }
                Ok(stat) => type_name(stat.filetype).to_lowercase(),
                Err(errno) => errno.name().to_string(),
            };
            let outcome = match outcome {
                Ok(fd) => {
                    close(fd).unwrap();
                    "ok"
                }
                Err(errno) => errno.name(),
            };
            println!("{name}, {there}, {how}: {outcome}, then {after}");
            if unlink(FIRST, "it").is_err() {
                let _ = remove_directory(FIRST, "it");
            }
        }
    }
    let mut fd = 0u32;
    for bits in [16, 256, 0x10000] {
        // SAFETY: the path is a constant and the result's place a live local.
        let code = unsafe {
            raw::path_open(FIRST as i32, 0, c"it".as_ptr() as i32, 2, bits, 0, 0, 0, (&raw mut fd) as i32)
        };
        println!("unknown flag {bits:#x}: {}", code_name(code));
    }
}
