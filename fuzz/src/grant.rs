//! Grants, as flags. What can be read is the same when it is written and read again, and shows no secret.

use capfs_devices::grant::{Grant, Places};
use capfs_devices::terms;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "grant",
    about: "grants on the command line, in manifests and from pages; their terms",
    run,
    seeds,
};

fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let Ok(grant) = Grant::from_flag(text) else {
        return;
    };
    let again = Grant::from_flag(&grant.to_flag());
    assert_eq!(again.as_ref(), Ok(&grant), "{text:?}");
    for term in grant.terms.iter().filter(|term| term.key == "header") {
        let secret = term
            .value
            .split_once(' ')
            .and_then(|(_, header)| header.split_once(':'));
        let secret = secret.map_or("", |(_, value)| value.trim());
        // What is short, or stands elsewhere in the grant as well, is no secret.
        if secret.len() >= 12 && text.matches(secret).count() == 1 {
            assert!(!grant.shown().contains(secret), "{text:?} is shown");
        }
    }
    let mut places = Places::default();
    places.take(&grant);
    assert!(places.clash(&grant).is_some(), "{text:?} has no place");
    if let Err(error) = terms::check(&grant) {
        let _ = error.to_string();
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let flags = [
        "random,at=/cap/entropy",
        "fetch,origin=https://example.com,origin=https://*.example.org:8443,method=GET,max-body=10MiB,rate=20/s",
        "fetch,origin=http://[::1]:*,header=https://example.com authorization: Bearer a\\,b\\\\cdefghijk,network=10.0.0.0/8",
        "ws,origin=wss://relay.example,connections=2,max-message=64KiB",
        "crypto,algorithm=ed25519,keys=3,persist=no,import=no,name=some",
        "opfs,name=notes,quota=1GiB,rights=ro,repair=yes",
        "indexeddb,name=notes,quota=1MB",
        "console,input=no,raw=no,messages=yes",
        "dom,html=safe,elements=100,load=https://images.example,cleanup=no",
        "task,children=3",
    ];
    flags.map(|flag| flag.as_bytes().to_vec()).into()
}
