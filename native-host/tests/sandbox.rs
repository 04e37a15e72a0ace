//! What no program may reach through a folder that it was granted.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

mod bench;

use bench::{Bench, FD_WRITE, assert_ended, hello, program};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_cache_takes_no_file_that_is_not_its_own() {
    let bench = Bench::new();
    // Somebody's folder, which happens to be where the cache is to be: larger than a cache may be, and unused for long.
    let theirs = ["thesis.tex", "backup.tar", "other.cwasm"].map(|name| {
        let path = bench.path(&format!("cache/{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(&path).unwrap();
        file.set_len(2 << 30).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        path
    });
    assert_ended(&bench.run(&[], &bench.agent(&hello())), 0, "");
    for path in theirs {
        assert_eq!(fs::metadata(path).unwrap().len(), 2 << 30);
    }
    let own = fs::read_dir(bench.path("cache/capfs-code")).unwrap();
    assert_eq!(own.count(), 1);
}

/// Writes over the file `entry` of its first folder, all of it, then prints, and returns the first errno there was.
fn overwrites() -> String {
    const WRITE: u64 = 1 << 6;
    program(
        &format!(
            r#"{FD_WRITE}
            (import "wasi_snapshot_preview1" "path_open"
              (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#
        ),
        &format!(
            r#"(data (i32.const 0) "\20\00\00\00\06\00\00\00") (data (i32.const 8) "\00\00\01\00\00\00\01\00")
            (data (i32.const 16) "entry") (data (i32.const 32) "hello\n")
            (func $main (result i32) (local $errno i32) (local $n i32)
              ;; Traps of x86-64, in every place there may be code.
              (memory.fill (i32.const 65536) (i32.const 0xcc) (i32.const 65536))
              (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 5)
                (i32.const 0) (i64.const {WRITE}) (i64.const 0) (i32.const 0) (i32.const 48)))
              (if (local.get $errno) (then (return (local.get $errno))))
              (loop $more
                (local.set $errno (call $fd_write (i32.load (i32.const 48)) (i32.const 8) (i32.const 1) (i32.const 52)))
                (if (local.get $errno) (then (return (local.get $errno))))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 16))))
              (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 52)))"#
        ),
    )
}

#[test]
fn a_program_that_writes_over_its_own_code_runs_on() {
    let bench = Bench::new();
    let agent = bench.agent(&overwrites());
    const ENOENT: i32 = 44;
    let shared = bench.path("shared");
    fs::create_dir(&shared).unwrap();
    let grant = format!("{}::/:rw", shared.display());
    // It compiles it, and finds nothing to write to.
    assert_ended(&bench.run(&["--dir", &grant], &agent), ENOENT, "");
    // By its own place it can't be granted. What has a second name isn't run, for nobody knows who writes it there.
    let entry = fs::read_dir(bench.path("cache/capfs-code")).unwrap().next();
    let entry = entry.unwrap().unwrap().path();
    let length = fs::metadata(&entry).unwrap().len();
    assert!(length < 1 << 20, "the program writes over all of it");
    fs::hard_link(&entry, shared.join("entry")).unwrap();
    let output = bench.run(&["--dir", &grant, "--json"], &agent);
    assert_ended(&output, 0, r#""code_source":"compiled""#);
    assert_eq!(output.stdout, b"hello\n");
    let written = fs::read(shared.join("entry")).unwrap();
    assert!(
        written.iter().all(|byte| *byte == 0xcc),
        "the file was written"
    );
    // The new entry is another file, which has one name.
    let output = bench.run(&["--dir", &grant, "--json"], &agent);
    assert_ended(&output, 0, r#""code_source":"cache""#);
    // One that is damaged is not run either.
    fs::write(&entry, &written).unwrap();
    let output = bench.run(&["--dir", &grant, "--json"], &agent);
    assert_ended(&output, 0, r#""code_source":"compiled""#);
}

/// A folder with everything in it that is reserved, and the options that say so.
struct Reserved {
    bench: Bench,
    options: Vec<String>,
}

impl Reserved {
    fn new() -> Reserved {
        let bench = Bench::new();
        for folder in ["work", "state", "log", "secret", "config"] {
            fs::create_dir(bench.path(folder)).unwrap();
        }
        let agent = bench.agent(&hello());
        let passphrase = bench.file("secret/passphrase", "open sesame\n");
        let manifest = format!("agent = {{ program = '{}' }}\n", agent.display());
        let manifest = bench.file("config/agent.toml", manifest);
        let (state, audit) = (bench.path("state"), bench.path("log/audit"));
        let options = [
            ("--state", &state),
            ("--audit", &audit),
            ("--passphrase-file", &passphrase),
            ("--manifest", &manifest),
        ];
        let options = options.iter().flat_map(|(name, path)| [*name, text(path)]);
        let options = options.map(str::to_owned).collect();
        Reserved { bench, options }
    }

    fn run(&self, folder: &Path, rights: &str) -> std::process::Output {
        let grant = format!("{}::/work:{rights}", folder.display());
        let mut command = self.bench.command("run");
        command.args(&self.options).args(["--dir", &grant]);
        command.output().unwrap()
    }

    #[track_caller]
    fn refused(&self, folder: &Path, rights: &str, why: &str) {
        let output = self.run(folder, rights);
        assert_ended(&output, 125, why);
        assert_ended(&output, 125, "hint: ");
    }
}

#[test]
fn a_folder_that_overlaps_with_what_is_the_host_s_is_refused() {
    let reserved = Reserved::new();
    let path = |name: &str| reserved.bench.path(name);
    let things = [
        ("cache", "the folder of compiled code"),
        ("state", "the state folder"),
        ("log", "the audit"),
        ("secret", "the passphrase's file"),
        ("config", "the manifest"),
    ];
    // So that there is a cache.
    assert_ended(&reserved.run(&path("work"), "rw"), 0, "");
    fs::create_dir(path("links")).unwrap();
    for (folder, what) in things {
        let other = path(&format!("links/{folder}"));
        symlink(path(folder), &other).unwrap();
        for folder in [path(folder), other] {
            reserved.refused(&folder, "rw", what);
        }
    }
    reserved.refused(&path("."), "rw", "it contains");
    for inner in ["state/files", "cache/capfs-code"] {
        fs::create_dir_all(path(inner)).unwrap();
        reserved.refused(&path(inner), "rw", "can't grant the folder");
    }
    // What may be read by nobody, and what may.
    for (folder, read) in [
        ("cache", true),
        ("state", false),
        ("state/files", false),
        ("log", true),
        ("secret", false),
        ("config", true),
        (".", false),
    ] {
        let output = reserved.run(&path(folder), "ro");
        assert_eq!(output.status.success(), read, "{folder}");
    }
}

#[test]
fn a_manifest_s_folders_are_held_against_it_too() {
    let bench = Bench::new();
    fs::create_dir(bench.path("own")).unwrap();
    bench.file("own/agent.wasm", wat::parse_str(hello()).unwrap());
    let manifest = bench.file(
        "own/agent.toml",
        "agent = { program = 'agent.wasm' }\n\
         mounts = { '/data' = { type = 'folder', host = '.', rights = 'rw' } }\n",
    );
    let mut run = bench.command("run");
    let output = run.arg("--manifest").arg(&manifest).output().unwrap();
    assert_ended(&output, 125, "it contains the manifest");
    let mut inspect = bench.command("inspect");
    let output = inspect.arg("--manifest").arg(&manifest).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("missing  folder"), "{shown}");
    assert!(shown.contains("it contains"), "{shown}");
}

#[test]
fn stored_files_have_nothing_of_the_host_s_in_them() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("state/files/own")).unwrap();
    let own = |name: &str| bench.path(&format!("state/files/own/{name}"));
    let agent = bench.agent(&hello());
    fs::write(own("secret"), "open sesame\n").unwrap();
    let manifest = format!("agent = {{ program = '{}', id = 'a' }}\n", agent.display());
    fs::write(own("agent.toml"), manifest).unwrap();
    let header = format!(
        "fetch,origin=*,header-file=https://a Authorization: @{}",
        own("secret").display()
    );
    let (audit, secret, asking) = (own("audit"), own("secret"), own("agent.toml"));
    let cases: [(&[&str], &str); 4] = [
        (&["--audit", text(&audit)], "the audit"),
        (&["--passphrase-file", text(&secret)], "the passphrase"),
        (&["--grant", &header], "a header's file"),
        (&["--manifest", text(&asking)], "the manifest"),
    ];
    let run = |options: &[&str], cache: &Path| {
        let mut command = bench.command("run");
        command.env("CAPFS_CACHE_DIR", cache);
        command.arg("--state").arg(bench.path("state"));
        command.args(["--id", "a", "--grant", "opfs"]).args(options);
        command.arg(&agent).output().unwrap()
    };
    for (options, what) in cases {
        let output = run(options, &bench.path("cache"));
        assert_ended(&output, 125, &format!("it contains {what}"));
    }
    let output = run(&[], &own("cache"));
    assert_ended(&output, 125, "it contains the folder of compiled code");
    // Nor is it what is reserved by another name.
    fs::remove_dir_all(bench.path("state/files/own")).unwrap();
    fs::create_dir_all(bench.path("state/keys")).unwrap();
    symlink("../keys", bench.path("state/files/own")).unwrap();
    let output = run(&[], &bench.path("cache"));
    assert_ended(&output, 125, "it is the state folder");
    fs::remove_file(bench.path("state/files/own")).unwrap();
    assert_ended(&run(&[], &bench.path("cache")), 0, "");
}

#[test]
fn a_secret_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let token = bench.file("token", "s3cr3t\n");
    let header = format!(
        "fetch,origin=*,header-file=https://a Authorization: @{}",
        token.display()
    );
    let warned = |mode: u32, more: &[&str]| {
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
        let output = bench.run(&[&["--grant", &header], more].concat(), &agent);
        assert_ended(&output, 0, "");
        String::from_utf8_lossy(&output.stderr).contains("others can read")
    };
    assert!(warned(0o644, &[]) && warned(0o640, &[]));
    assert!(!warned(0o600, &[]) && !warned(0o644, &["--quiet"]));
}

#[test]
fn the_memory_of_processes_is_in_no_folder() {
    const EACCES: i32 = 2;
    let bench = Bench::new();
    let agent = bench.agent(&program(
        r#"(import "wasi_snapshot_preview1" "path_open"
            (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#,
        r#"(data (i32.const 0) "proc/self/mem")
           (func $main (result i32)
             (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 13)
               (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))"#,
    ));
    assert_ended(&bench.run(&["--dir", "/::/"], &agent), EACCES, "");
    let whole = bench.run(&["--dir", "/proc::/"], &agent);
    assert_ended(&whole, 125, "it is a part of procfs");
}

/// Looks at the file `f` of its first two folders: the number of that file, or 99 unless it is one file of one device by both.
fn numbers() -> String {
    program(
        r#"(import "wasi_snapshot_preview1" "path_filestat_get"
              (func $stat (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 0) "f")
            (func $look (param $fd i32) (param $at i32)
              (if (call $stat (local.get $fd) (i32.const 0) (i32.const 0) (i32.const 1) (local.get $at))
                (then (call $exit (i32.const 98)))))
            (func $main (result i32)
              (call $look (i32.const 3) (i32.const 64))
              (call $look (i32.const 4) (i32.const 128))
              (if (i64.ne (i64.load (i32.const 64)) (i64.load (i32.const 128)))
                (then (return (i32.const 99))))
              (if (i64.ne (i64.load (i32.const 72)) (i64.load (i32.const 136)))
                (then (return (i32.const 99))))
              (if (i64.gt_u (i64.load (i32.const 72)) (i64.const 90))
                (then (return (i32.const 97))))
              (i32.wrap_i64 (i64.load (i32.const 72))))"#,
    )
}

#[test]
fn a_folder_is_one_device_however_often_it_is_granted_and_has_no_number_of_the_host_s() {
    let bench = Bench::new();
    let agent = bench.agent(&numbers());
    for name in ["one", "other"] {
        let folder = bench.path(name);
        fs::create_dir(&folder).unwrap();
        // What the program hasn't seen has no number.
        fs::write(folder.join("unseen"), "").unwrap();
        fs::write(folder.join("f"), "").unwrap();
        let link = bench.path(&format!("link to {name}"));
        symlink(&folder, &link).unwrap();
        let grants = [
            format!("{}::/a", folder.display()),
            format!("{}::/b:rw", link.display()),
        ];
        let output = bench.run(&["--dir", &grants[0], "--dir", &grants[1]], &agent);
        // Behind the folder itself.
        assert_ended(&output, 2, "");
    }
    let [one, other] =
        ["one", "other"].map(|name| format!("{}::/{name}", bench.path(name).display()));
    assert_ended(
        &bench.run(&["--dir", &one, "--dir", &other], &agent),
        99,
        "",
    );
}
