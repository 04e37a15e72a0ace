//! Cookies survive changes: what stays is seen exactly once while other entries come and go.

use std::collections::BTreeMap;

use transcript::{FIRST, make_directory, make_file, names, open_directory, read_entries, show, unlink};

fn main() {
    make_directory(FIRST, "dir").unwrap();
    let dir = open_directory(FIRST, "dir").unwrap();
    for number in 0..100 {
        make_file(dir, &format!("stays{number}"), b"").unwrap();
        make_file(dir, &format!("goes{number}"), b"").unwrap();
    }
    let mut seen = BTreeMap::new();
    let mut cookie = 0;
    let mut round = 0;
    loop {
        let (entries, _) = read_entries(dir, 256, cookie).unwrap();
        let Some(last) = entries.last() else {
            break;
        };
        cookie = last.next;
        for entry in &entries {
            *seen.entry(entry.name.clone()).or_insert(0) += 1;
        }
        // Each round takes some away, seen and unseen, and adds one.
        if round < 50 {
            unlink(dir, &format!("goes{round}")).unwrap();
            unlink(dir, &format!("goes{}", 99 - round)).unwrap();
            make_file(dir, &format!("comes{round}"), b"").unwrap();
        }
        round += 1;
        assert!(round < 1_000, "the listing never ends");
    }
    let once = (0..100).filter(|number| seen.get(&format!("stays{number}")) == Some(&1)).count();
    println!("{once} of 100 that stayed were seen exactly once");
    println!("none was seen twice: {}", seen.values().all(|count| *count == 1));
    let after = names(dir).unwrap();
    let staying = after.iter().filter(|name| name.starts_with("stays")).count();
    println!("afterwards {staying} are there");

    // Deleting by reading in portions, as rm -r does.
    let mut removed = 0;
    loop {
        let (entries, _) = read_entries(dir, 512, 0).unwrap();
        let victims: Vec<_> = entries.iter().filter(|entry| !entry.name.starts_with('.')).collect();
        if victims.is_empty() {
            break;
        }
        for entry in victims {
            unlink(dir, &entry.name).unwrap();
            removed += 1;
        }
    }
    println!("removed all: {}", removed == after.len());
    let _ = show("left", names(dir));
}
