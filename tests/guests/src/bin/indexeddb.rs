//! Databases: stores, records as files, indexes, queries; refusals, with their texts.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom, Write};

const ROOT: &str = "/cap/storage/indexeddb";

fn error_of(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}error")).expect("the error").trim().to_owned()
}

/// Writes a command to a `ctl` and prints how it ended.
fn tell(directory: &str, command: &str) {
    let outcome = OpenOptions::new().write(true).open(format!("{ROOT}/{directory}ctl"));
    match outcome.and_then(|mut ctl| ctl.write_all(format!("{command}\n").as_bytes())) {
        Ok(()) => println!("{command}: ok"),
        Err(error) => println!("{command}: {:?}, {}", error.kind(), error_of(directory)),
    }
}

fn data(key: &str) -> String {
    format!("{ROOT}/feeds/items/data/{key}")
}

fn show<T: std::fmt::Debug>(what: &str, outcome: Result<T>) {
    match outcome {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: {:?}", error.kind()),
    }
}

fn names(path: &str) -> Result<Vec<String>> {
    fs::read_dir(format!("{ROOT}/{path}"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn text(path: &str) -> Result<String> {
    Ok(fs::read_to_string(format!("{ROOT}/{path}"))?.trim().to_owned())
}

fn ask(query: &str) {
    ask_of("items/query", query);
}

fn ask_of(file: &str, query: &str) {
    let path = format!("{ROOT}/feeds/{file}");
    let answer = || {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.write_all(query.as_bytes())?;
        let mut answer = String::new();
        file.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer.replace('\n', " "))
    };
    match answer() {
        Ok(answer) => println!("{query}: {answer}"),
        Err(error) => println!("{query}: {:?}, {}", error.kind(), error_of("feeds/")),
    }
}

fn main() {
    print!("{}", fs::read_to_string(format!("{ROOT}/policy")).expect("the policy"));
    // What an earlier run has left.
    for name in names("").expect("listing") {
        if !matches!(&*name, "policy" | "ctl" | "error") {
            tell("", &format!("delete {name}"));
        }
    }
    println!("-- databases");
    for command in ["create feeds", "create feeds", "create a/b", "create one", "create two", "drop feeds", "delete none", "delete one"] {
        tell("", command);
    }
    for command in ["store items", "store items", "store other", "store .x", "index items author /author/name", "index none x /x", "index items x x"] {
        tell("feeds/", command);
    }
    show("version", text("feeds/version"));
    show("names", names("feeds"));
    show("names", names("feeds/items"));

    println!("-- records");
    for (key, value) in [
        ("b", r#"{"author":{"name":"Ken"},"year":1975}"#),
        ("a", r#"{"author":{"name":"Rob"},"year":1987.5}"#),
        ("c%2Fd", r#"{"author":{"name":"Ken"},"year":-1}"#),
        ("plain", "no JSON"),
        ("%2E", ""),
    ] {
        show(key, fs::write(data(key), value));
    }
    show("b c", fs::write(data("b c"), "x"));
    println!("{}", error_of("feeds/"));
    show("%2f", fs::read(data("%2f")));
    show("count", text("feeds/items/count"));
    show("names", names("feeds/items/data"));
    show("b", fs::read_to_string(data("b")));
    show("size", fs::metadata(data("plain")).map(|data| (data.len(), data.is_file())));
    let mut file = OpenOptions::new().read(true).append(true).open(data("plain")).expect("opening");
    file.write_all(b" here").expect("appending");
    let mut contents = String::new();
    file.seek(SeekFrom::Start(3)).and_then(|_| file.read_to_string(&mut contents)).expect("reading");
    println!("{contents:?}");
    file.set_len(2).expect("truncating");
    show("plain", fs::read_to_string(data("plain")));
    show("again", OpenOptions::new().write(true).create_new(true).open(data("plain")).map(|_| ()));
    show("rename", fs::rename(data("plain"), data("moved")));
    show("a directory", fs::create_dir(data("directory")));
    let created = File::create(data("empty")).expect("creating");
    show("count", text("feeds/items/count"));
    created.sync_all().expect("syncing");
    show("count", text("feeds/items/count"));
    drop(created);
    show("remove", fs::remove_file(data("empty")));
    show("remove", fs::remove_file(data("empty")));
    let large = vec![b'x'; 300_000];
    show("large", fs::write(data("large"), &large));
    show("large", fs::read(data("large")).map(|value| value == large));

    println!("-- indexes");
    tell("feeds/", "index items year /year");
    tell("feeds/", "index items year /year");
    show("version", text("feeds/version"));
    show("indexes", names("feeds/items/index"));
    show("author", names("feeds/items/index/author"));
    show("year", names("feeds/items/index/year"));
    show("Ken", text("feeds/items/index/author/Ken"));
    show("b", fs::write(data("b"), r#"{"author":{"name":"Dennis"},"year":"1975"}"#));
    show("author", names("feeds/items/index/author"));
    show("year", names("feeds/items/index/year"));
    show("Ken", text("feeds/items/index/author/Ken"));
    show("none", text("feeds/items/index/author/None"));
    show("remove", fs::remove_file(data("c%2Fd")));
    show("author", names("feeds/items/index/author"));

    println!("-- queries");
    for query in ["range a c", "range * b", "range b *", "limit 2", "reverse limit 2", "range c a", "index year", "index author range D R", "index none", "select", "range b c d"] {
        ask(query);
    }

    println!("-- batches");
    for batch in [
        "absent other x\nput other x 1%0A2\nput other y {\"n\":1}",
        "absent other x\nput other z 1",
        "is other x 1%0A2\ndelete other x\nput other z 1",
        "put other w 1\ndelete other none",
        "put other w 1\nput none w 1",
        "put other",
    ] {
        ask_of("batch", batch);
        show("names", names("feeds/other/data"));
    }

    println!("-- limits");
    show("too large", fs::write(data("huge"), vec![0; 2 << 20]));
    println!("{}", error_of("feeds/"));
    show("huge", fs::read(data("huge")));
    for number in 0..1_050 {
        fs::write(format!("{ROOT}/feeds/other/data/{number:04}"), "x").expect("writing");
    }
    let listed = names("feeds/other/data").expect("listing");
    println!("{} {} {:?}", listed.len(), listed.is_sorted(), listed.last());
    show("count", text("feeds/other/count"));
    let open = File::open(data("a")).expect("opening");
    tell("", "delete feeds");
    show("gone", fs::metadata(format!("{ROOT}/feeds")).map(|_| ()));
    let mut contents = Vec::new();
    let read = (&open).read_to_end(&mut contents).map_err(|error| error.kind());
    println!("{}", read == Err(ErrorKind::NotFound));
    tell("", "delete two");
    show("names", names(""));
}
