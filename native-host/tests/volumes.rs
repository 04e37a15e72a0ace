//! `capfs-host storage check`, on volumes whose files are flipped, missing, in use.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use capfs::testkit::{self, ManualClock, edit, name, now};
use capfs::{Errno, Op};
use capfs_storage::{BLOCK, BlockFile, BlockFiles, Opener, StorageOptions, Volume};

mod bench;

use bench::{Bench, assert_ended};

/// A file of this machine as a browser's.
struct Plain(File);

impl BlockFile for Plain {
    fn size(&self) -> Result<u64, Errno> {
        Ok(self.0.metadata().unwrap().len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        Ok(self.0.read_at(into, offset).unwrap())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.0.write_all_at(bytes, offset).unwrap();
        Ok(())
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.0.set_len(size).unwrap();
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }
}

struct Folder(PathBuf);

impl Opener for Folder {
    fn open(&self) -> Op<BlockFiles> {
        let open = |name: &str| -> Box<dyn BlockFile> {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            Box::new(Plain(options.open(self.0.join(name)).unwrap()))
        };
        Op::ok(BlockFiles {
            data: open("data"),
            index: [open("index-0"), open("index-1")],
        })
    }
}

/// Stores `d/f`, of three blocks, and `g`, of a few bytes.
fn store(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let clock = Arc::new(ManualClock::new(1));
    let volume = Volume::new(Folder(folder.to_owned()), clock, StorageOptions::default());
    let contents: Vec<u8> = (0..3 * BLOCK).map(|at| (at / BLOCK) as u8 + 1).collect();
    let below = now(edit(&volume.root()).unwrap().make_directory(name("d"))).unwrap();
    testkit::write(&below, "f", &contents).unwrap();
    testkit::write(&volume.root(), "g", b"other").unwrap();
    drop(below);
    volume.release().unwrap();
}

/// Flips a bit of a file of a volume, at the place that `find` names.
fn flip(file: &Path, find: impl Fn(&[u8]) -> usize) {
    let mut bytes = fs::read(file).unwrap();
    let at = find(&bytes);
    bytes[at] ^= 4;
    fs::write(file, bytes).unwrap();
}

/// Where the block begins that is full of `byte`.
fn block_of(byte: u8) -> impl Fn(&[u8]) -> usize {
    move |bytes| {
        let mut blocks = bytes.chunks(BLOCK);
        let found = blocks.position(|block| block == [byte; BLOCK]);
        found.expect("the block") * BLOCK + 7
    }
}

/// The half of the index that counts: the other is empty.
fn index(folder: &Path) -> PathBuf {
    let halves = ["index-0", "index-1"].map(|name| folder.join(name));
    let mut all = halves.into_iter();
    all.find(|path| fs::metadata(path).unwrap().len() > 0)
        .unwrap()
}

fn check(bench: &Bench, options: &[&str], folder: &Path) -> Output {
    let mut command = bench.command("storage");
    command.arg("check").args(options).arg(folder);
    command.output().unwrap()
}

#[track_caller]
fn assert_told(output: &Output, code: i32, lines: &[&str]) {
    assert_ended(output, code, "");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.lines().collect::<Vec<_>>(), lines);
}

/// What the files of a volume are, and when they were changed.
fn state(folder: &Path) -> Vec<(Vec<u8>, std::time::SystemTime)> {
    let files = ["data", "index-0", "index-1"].map(|name| folder.join(name));
    let state = |path: &PathBuf| {
        let changed = fs::metadata(path).unwrap().modified().unwrap();
        (fs::read(path).unwrap(), changed)
    };
    files.iter().map(state).collect()
}

#[test]
fn what_is_not_as_it_was_written_is_named() {
    let bench = Bench::new();
    let folder = bench.path("notes");
    let at = folder.display();
    store(&folder);
    let before = state(&folder);
    let sound =
        format!("sound: {at}: 3 files, directories and links, 4 blocks as they were written");
    assert_told(&check(&bench, &[], &folder), 0, &[&sound]);
    assert_eq!(state(&folder), before);

    flip(&folder.join("data"), block_of(2));
    flip(&folder.join("data"), block_of(3));
    let before = state(&folder);
    let damaged =
        format!("damaged: {at}: 3 files, directories and links, 2 blocks as they were written");
    let range = "    /d/f: 8192 bytes from byte 4096 on are not as they were written";
    assert_told(&check(&bench, &[], &folder), 1, &[&damaged, range]);
    let output = check(&bench, &["--json"], &folder);
    assert_ended(&output, 1, "");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({ "volumes": [{
        "path": at.to_string(),
        "verdict": "damaged",
        "nodes": 3,
        "blocks": { "sound": 2, "unknown": 0 },
        "spoilt": [{ "path": "/d/f", "offset": 4096, "length": 8192 }],
    }] });
    assert_eq!(told, expected);
    assert_eq!(state(&folder), before, "a check changes nothing");
}

#[test]
fn an_index_that_is_damaged_says_where() {
    let bench = Bench::new();
    let folder = bench.path("notes");
    store(&folder);
    flip(&index(&folder), |_| 40);
    let output = check(&bench, &[], &folder);
    assert_ended(&output, 1, "");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = format!("damaged: {}: damaged: ", folder.display());
    assert!(
        told.starts_with(&begin) && told.contains("of index "),
        "{told}"
    );
    for missing in ["data", "index-1"] {
        let folder = bench.path(missing);
        store(&folder);
        fs::remove_file(folder.join(missing)).unwrap();
        let line = format!(
            "damaged: {}: the file `{missing}` is missing",
            folder.display()
        );
        assert_told(&check(&bench, &[], &folder), 1, &[&line]);
    }
}

#[test]
fn all_trees_in_a_folder_are_checked() {
    let bench = Bench::new();
    let home = bench.path("capfs");
    let [notes, inner, tasks] = ["notes", "notes/inner", "tasks"].map(|name| home.join(name));
    for folder in [&notes, &inner, &tasks] {
        store(folder);
    }
    // What leads elsewhere is left alone.
    std::os::unix::fs::symlink(&home, notes.join("around")).unwrap();
    flip(&inner.join("data"), block_of(1));
    let count = |word: &str, folder: &Path, blocks: u32| {
        let at = folder.display();
        format!(
            "{word}: {at}: 3 files, directories and links, {blocks} blocks as they were written"
        )
    };
    let range = "    /d/f: 4096 bytes from byte 0 on are not as they were written";
    let expected = [
        &*count("sound", &notes, 4),
        &count("damaged", &inner, 3),
        range,
        &count("sound", &tasks, 4),
    ];
    assert_told(&check(&bench, &[], &home), 1, &expected);
    let nothing = check(&bench, &[], bench.directory.path().join("cache").as_path());
    assert_ended(&nothing, 2, "No such file or directory");
    fs::create_dir_all(bench.path("state/files/own")).unwrap();
    fs::write(bench.path("state/files/own/data"), "a plain file").unwrap();
    let plain = check(&bench, &[], &bench.path("state"));
    assert_ended(&plain, 2, "natively it is a plain folder");
}

#[test]
fn what_is_in_use_or_no_file_is_not_read() {
    let bench = Bench::new();
    let folder = bench.path("notes");
    let at = folder.display();
    store(&folder);
    let first = File::open(folder.join("index-0")).unwrap();
    first.lock().unwrap();
    let line = format!(
        "unreadable: {at}: process {} has it open",
        std::process::id()
    );
    assert_told(&check(&bench, &[], &folder), 2, &[&line]);
    // A process that another test is just starting has the file, too, until it is another program.
    first.unlock().unwrap();
    drop(first);
    let data = folder.join("data");
    fs::remove_file(&data).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&data).status();
    assert!(made.unwrap().success());
    let line = format!("unreadable: {at}: the file `data`: it is no regular file");
    assert_told(&check(&bench, &[], &folder), 2, &[&line]);
}

#[test]
fn names_that_agents_chose_do_nothing_to_a_screen() {
    let bench = Bench::new();
    let folder = bench.path("notes");
    fs::create_dir_all(&folder).unwrap();
    let clock = Arc::new(ManualClock::new(1));
    let volume = Volume::new(Folder(folder.clone()), clock, StorageOptions::default());
    testkit::write(&volume.root(), "\x1b[2Jsound: a\nb", &[9; BLOCK]).unwrap();
    volume.release().unwrap();
    flip(&folder.join("data"), block_of(9));
    let output = check(&bench, &[], &folder);
    assert_ended(&output, 1, "");
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.lines().count(), 2, "{told:?}");
    assert!(!told.contains('\x1b'), "{told:?}");
}
