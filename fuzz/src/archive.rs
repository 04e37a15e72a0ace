//! Tar archives. What can be read at all must be a tree as the conformance suite knows one.

use capfs::device::archive::Archive;
use capfs::testkit;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "archive",
    about: "tar archives, as mounted by pages and on the command line",
    run,
    seeds,
};

fn run(bytes: &[u8]) {
    if let Ok(archive) = Archive::from_tar(bytes.to_vec()) {
        testkit::read_only(&archive.root());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let long = format!("{}/{}", "d".repeat(90), "n".repeat(120));
    let plain = tar(|builder| {
        append(builder, "a.txt", tar::EntryType::Regular, b"contents\n");
        append(builder, "dir/", tar::EntryType::Directory, b"");
        append(builder, "dir/b", tar::EntryType::Regular, &[7; 600]);
        link(builder, "dir/link", tar::EntryType::Symlink, "../a.txt");
        link(builder, "hard", tar::EntryType::Link, "a.txt");
    });
    let long_names = tar(|builder| {
        append(builder, &long, tar::EntryType::Regular, b"x");
        let records = [("path", "pax-é".as_bytes()), ("mtime", b"1.5")];
        builder
            .append_pax_extensions(records)
            .expect("a vector takes everything");
        append(builder, "short", tar::EntryType::Regular, b"y");
    });
    vec![plain, long_names, vec![0; 1024]]
}

fn tar(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    fill(&mut builder);
    builder.into_inner().expect("a vector takes everything")
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header.set_mode(0o644);
    header
}

fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, contents: &[u8]) {
    let mut header = header(kind, contents.len());
    builder
        .append_data(&mut header, path, contents)
        .expect("a vector takes everything");
}

fn link(builder: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, target: &str) {
    let mut header = header(kind, 0);
    builder
        .append_link(&mut header, path, target)
        .expect("a vector takes everything");
}
