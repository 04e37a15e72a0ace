//! Keys that are kept.

use super::*;

#[test]
fn kept_keys() {
    let state = TempDir::new().unwrap();
    let root = granted("crypto", Some(state.path()), None);
    assert_eq!(
        testkit::names_in(&walk(&root, "key/by-name").unwrap()).unwrap(),
        [""; 0]
    );
    let number = key(&root, &["generate ed25519", "name feed.1"]);
    let public = text(&root, &format!("key/{number}/pub"));
    assert_eq!(ctl(&root, &number, "name other"), Err(Errno::Exist));
    let second = key(&root, &["generate aes-gcm"]);
    assert_eq!(ctl(&root, &second, "name feed.1"), Err(Errno::Exist));
    for bad in ["", ".x", "A", "a/b", "../a", &"a".repeat(65)] {
        assert_eq!(
            ctl(&root, &second, &format!("name {bad}")),
            Err(Errno::Inval),
            "{bad}"
        );
    }
    let signature = ask(&root, "key/by-name/feed.1/sign", b"m").unwrap();
    ctl(&root, &number, "usage sign").unwrap();

    // Another run.
    let root = granted("crypto", Some(state.path()), None);
    assert_eq!(
        testkit::names_in(&walk(&root, "key/by-name").unwrap()).unwrap(),
        ["feed.1"]
    );
    assert_eq!(text(&root, "key/by-name/feed.1/pub"), public);
    assert_eq!(text(&root, "key/by-name/feed.1/usages"), "sign\n");
    assert_eq!(ask(&root, "key/by-name/feed.1/sign", b"m"), Ok(signature));
    assert_eq!(
        ctl(&root, "by-name/feed.1", "usage sign,verify"),
        Err(Errno::Acces)
    );
    assert_eq!(walk(&root, "key/by-name/other").err(), Some(Errno::Noent));
    // Under a grant that knows no such keys.
    let other = granted("crypto,algorithm=hkdf", Some(state.path()), None);
    assert_eq!(
        ask(&other, "key/by-name/feed.1/sign", b"m"),
        Err(Errno::Acces)
    );

    ctl(&root, "by-name/feed.1", "delete").unwrap();
    assert_eq!(walk(&root, "key/by-name/feed.1").err(), Some(Errno::Noent));
    assert_eq!(fs::read_dir(state.path().join("keys")).unwrap().count(), 1);
}

#[test]
fn so_many_keys_are_kept() {
    let state = TempDir::new().unwrap();
    let root = granted("crypto,keys=2", Some(state.path()), None);
    for name in ["a", "b"] {
        let number = key(&root, &["generate hkdf", &format!("name {name}")]);
        ctl(&root, &number, "close").unwrap();
    }
    let number = key(&root, &["generate hkdf"]);
    assert_eq!(ctl(&root, &number, "name c"), Err(Errno::Dquot));
}

#[test]
fn files_are_sealed_and_damage_is_an_error() {
    let state = TempDir::new().unwrap();
    let root = granted("crypto", Some(state.path()), None);
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    key(&root, &[&format!("import raw ed25519 {secret}"), "name a"]);
    let folder = state.path().join("keys");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let file = folder.join("a.key");
    assert_eq!((mode(&file), mode(&folder.join("master"))), (0o600, 0o600));
    let whole = fs::read(&file).unwrap();
    assert!(!whole.windows(8).any(|part| part == &unhex(secret)[..8]));
    let sign = |name: &str| {
        let root = granted("crypto", Some(state.path()), None);
        let outcome = ask(&root, &format!("key/by-name/{name}/sign"), b"m");
        (outcome, text(&root, &format!("key/by-name/{name}/error")))
    };
    assert!(sign("a").0.is_ok());
    // Every byte matters, as does the name.
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x40;
        fs::write(&file, broken).unwrap();
        assert_eq!(
            sign("a"),
            (Err(Errno::Io), "the key's file is damaged\n".to_owned()),
            "{at}"
        );
    }
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(sign("a").0, Err(Errno::Io));
    }
    fs::write(&file, vec![0; 100_000]).unwrap();
    assert_eq!(sign("a").0, Err(Errno::Io));
    fs::write(folder.join("b.key"), &whole).unwrap();
    assert_eq!(sign("b").0, Err(Errno::Io));
    fs::write(&file, &whole).unwrap();
    fs::write(folder.join("master"), b"").unwrap();
    assert_eq!(
        sign("a"),
        (Err(Errno::Io), "the master key is damaged\n".to_owned())
    );
    fs::remove_file(folder.join("master")).unwrap();
    assert_eq!(
        sign("a"),
        (Err(Errno::Io), "the master key is missing\n".to_owned())
    );
    // A key that can't be read can be deleted.
    let root = granted("crypto", Some(state.path()), None);
    ctl(&root, "by-name/a", "delete").unwrap();
}

#[test]
fn a_passphrase_seals() {
    let state = TempDir::new().unwrap();
    let root = granted("crypto", Some(state.path()), Some("correct horse"));
    key(&root, &["generate ed25519", "name a"]);
    let sign = |passphrase| {
        let root = granted("crypto", Some(state.path()), passphrase);
        ask(&root, "key/by-name/a/sign", b"m").err()
    };
    assert_eq!(sign(Some("correct horse")), None);
    assert_eq!(sign(Some("wrong horse")), Some(Errno::Acces));
    assert_eq!(sign(None), Some(Errno::Acces));
    let master = state.path().join("keys/master");
    let mut broken = fs::read(&master).unwrap();
    // Costs that nobody could pay.
    broken[10..14].fill(0xff);
    fs::write(&master, broken).unwrap();
    assert_eq!(sign(Some("correct horse")), Some(Errno::Io));
}

/// Keys that the first release's format and libraries sealed under a passphrase, of known secrets (RFC 8032, RFC 6979, BIP 340,
/// RFC 7748), and what they answer. A vault must open for as long as there is one.
#[test]
fn a_vault_that_was_sealed_before_opens() {
    let state = TempDir::new().unwrap();
    let keys = state.path().join("keys");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crypto/test-data/vault");
    fs::create_dir(&keys).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = keys.join(entry.file_name());
        fs::write(&to, fs::read(entry.path()).unwrap()).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let root = granted("crypto", Some(state.path()), Some("correct horse"));
    for (name, public) in [
        (
            "ed25519",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        (
            "p256",
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
        ),
        (
            "schnorr",
            "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        ),
        (
            "x25519",
            "b155533a7357a3f18401efc4c6a3d831787831630f4d6f52941757a9ba62dd44",
        ),
    ] {
        assert_eq!(
            text(&root, &format!("key/by-name/{name}/pub")).trim(),
            public
        );
    }
    for (name, usage, answer) in [
        (
            "ed25519",
            "sign",
            "3c3c92d39e5c1aa14bfeeb43f0c87bc822a01562c86df3225a00879694996f6ca14e75377d413349e782d71580eb1fe377a3a3cb2cd2cd1d85496376ee3cc300",
        ),
        (
            "p256",
            "sign",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "hmac",
            "sign",
            "295b945bad8b72e3c545e78c0dea00dee483ebedadc3d03141dc7ad136bd44c7",
        ),
        (
            "hkdf",
            "derive",
            "c527c642cdb30da3ae793a649525c06012ca11e488693d2aae4dcff618e2bb51",
        ),
    ] {
        let question: &[u8] = if usage == "sign" { b"sample" } else { b"" };
        let answered = ask(&root, &format!("key/by-name/{name}/{usage}"), question).unwrap();
        assert_eq!(str::from_utf8(&answered).unwrap().trim(), answer, "{name}");
    }
    // A signature that was made then, with a random nonce.
    let schnorr = "90660bc021409d5c78ec918918a327d17906877a248668bf22f83eb89386b4bc868f01ca02fd689394f43cd822a7bae70ff726cc965311d3d2580b253bebf101\nsample";
    let verified = ask(&root, "key/by-name/schnorr/verify", schnorr.as_bytes());
    assert_eq!(verified.as_deref(), Ok(&b"valid\n"[..]));
    let sealed = ask(&root, "key/by-name/aes/encrypt", b"text").unwrap();
    assert_eq!(
        ask(&root, "key/by-name/aes/decrypt", &sealed).as_deref(),
        Ok(&b"text"[..])
    );
}

#[test]
fn a_lost_master_is_not_replaced_while_there_are_keys() {
    let state = TempDir::new().unwrap();
    let root = granted("crypto", Some(state.path()), None);
    key(&root, &["generate ed25519", "name a"]);
    let master = state.path().join("keys/master");
    let kept = fs::read(&master).unwrap();
    fs::remove_file(&master).unwrap();
    let root = granted("crypto", Some(state.path()), None);
    let number = key(&root, &["generate ed25519"]);
    assert_eq!(ctl(&root, &number, "name b"), Err(Errno::Io));
    let told = text(&root, &format!("key/{number}/error"));
    assert!(
        told.starts_with("the master key is missing, and there are keys"),
        "{told}"
    );
    assert!(!master.exists());
    // Found again, it does for both.
    fs::write(&master, kept).unwrap();
    fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
    ctl(&root, &number, "name b").unwrap();
    ask(&root, "key/by-name/a/sign", b"m").unwrap();
}

#[test]
fn keys_that_others_can_reach_are_not_used() {
    let state = TempDir::new().unwrap();
    let root = granted("crypto", Some(state.path()), None);
    key(&root, &["generate ed25519", "name a"]);
    let folder = state.path().join("keys");
    let sign = || {
        let root = granted("crypto", Some(state.path()), None);
        ask(&root, "key/by-name/a/sign", b"m").err()
    };
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o666, 0o640, 0o604, 0o602] {
        set(&folder.join("master"), mode);
        assert_eq!(sign(), Some(Errno::Acces), "{mode:o}");
    }
    set(&folder.join("master"), 0o600);
    for mode in [0o777, 0o770, 0o702] {
        set(&folder, mode);
        assert_eq!(sign(), Some(Errno::Acces), "{mode:o}");
    }
    set(&folder, 0o755);
    assert_eq!(sign(), None);
}
