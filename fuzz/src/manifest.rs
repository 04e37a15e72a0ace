//! Manifests, in both spellings.

use std::path::Path;

use capfs_host::manifest;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "manifest",
    about: "manifests, TOML and JSON",
    run,
    seeds,
};

fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    for json in [false, true] {
        if let Err(error) = manifest::parse(text, json, "manifest", Path::new("/folder")) {
            let told = error.to_string();
            assert!(!told.is_empty(), "an error that says nothing: {text:?}");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let toml = r#"
[agent]
program = "feeds.wasm"
args = ["--all", "naïve"]
inherit-env = ["TERM"]
clock = "100ms"
random = false
listen = "127.0.0.1:0"
[env]
LANG = "C"
[limits]
memory = "1.5MiB"
time = 250
files = 0x10
storage = "1GiB"
[mounts]
"/data" = { type = "folder", host = "data", rights = "rw" }
"/" = [{ type = "memory" }, { type = "archive", file = "a.tar", optional = true, without = "x" }]
[[grants]]
device = "fetch"
origin = ["https://example.com"]
max-body = 4096
[[grants]]
device = "task"
children = 3
required = false
"#;
    let json = r#"{"agent":{"program":"p"},"limits":{"time":1},"mounts":{"/":{"type":"memory"}},"grants":["random",{"device":"ws","origin":"*"}]}"#;
    vec![toml.as_bytes().to_vec(), json.as_bytes().to_vec()]
}
