//! The tree, with real keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use capfs::testkit::{self, READ_WRITE, now, read_at, walk, write_at};
use capfs::{Errno, NodeRef, OpenHow, WriteAt};
use capfs_devices::crypto::ed25519::{is_point, is_small};
use capfs_devices::grant::Grant;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::Host;

mod kept;

const WRITE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: true,
};

fn granted(flag: &str, state: Option<&Path>, passphrase: Option<&str>) -> NodeRef {
    let host = Host {
        state: state.map(Path::to_owned),
        passphrase: passphrase.map(|passphrase| Zeroizing::new(passphrase.to_owned())),
        ..Host::default()
    };
    host.device(&Grant::from_flag(flag).unwrap()).unwrap()
}

fn crypto() -> NodeRef {
    granted("crypto", None, None)
}

fn ctl(root: &NodeRef, key: &str, command: &str) -> Result<(), Errno> {
    let mut file = now(walk(root, &format!("key/{key}/ctl"))?.open(WRITE))?;
    write_at(&mut *file, WriteAt::End, format!("{command}\n").as_bytes())?;
    Ok(())
}

fn ask(root: &NodeRef, path: &str, question: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut file = now(walk(root, path)?.open(READ_WRITE))?;
    let mut rest = question;
    while !rest.is_empty() {
        rest = &rest[write_at(&mut *file, WriteAt::End, rest)?.bytes..];
    }
    let mut answer = Vec::new();
    loop {
        let part = read_at(&mut *file, 0, 4096)?;
        if part.is_empty() {
            return Ok(answer);
        }
        answer.extend(part);
    }
}

fn text(root: &NodeRef, path: &str) -> String {
    String::from_utf8(testkit::read(root, path).unwrap()).unwrap()
}

/// Begins a conversation and gives its commands.
fn key(root: &NodeRef, commands: &[&str]) -> String {
    let number = text(root, "key/new").trim().to_owned();
    for command in commands {
        ctl(root, &number, command).unwrap_or_else(|errno| panic!("{command}: {errno}"));
    }
    number
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let pairs = pairs.iter().map(|pair| str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn line(text: &str) -> Result<Vec<u8>, Errno> {
    Ok(format!("{text}\n").into_bytes())
}

#[test]
fn digests() {
    let root = crypto();
    // FIPS 180-4's example, `abc`.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(ask(&root, "hash/sha256", b"abc"), line(expected));
    let expected = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
    assert_eq!(ask(&root, "hash/sha384", b"abc"), line(expected));
    let expected = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
    assert_eq!(ask(&root, "hash/sha512", b""), line(expected));
    // A million times `a`, in pieces, and then another question on the same descriptor.
    let mut file = now(walk(&root, "hash/sha256").unwrap().open(READ_WRITE)).unwrap();
    for _ in 0..1000 {
        write_at(&mut *file, WriteAt::End, &[b'a'; 1000]).unwrap();
    }
    let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0\n";
    assert_eq!(
        read_at(&mut *file, 0, 10).unwrap(),
        &expected.as_bytes()[..10]
    );
    assert_eq!(
        read_at(&mut *file, 0, 99).unwrap(),
        &expected.as_bytes()[10..]
    );
    assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b"");
    write_at(&mut *file, WriteAt::End, b"abc").unwrap();
    assert!(read_at(&mut *file, 0, 99).unwrap().starts_with(b"ba7816bf"));
}

#[test]
fn identifiers() {
    let root = crypto();
    let (one, other) = (text(&root, "uuid"), text(&root, "uuid"));
    assert_ne!(one, other);
    assert_eq!((one.len(), &one[14..15]), (37, "4"));
    assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"));
    assert_eq!(text(&root, "policy").lines().count(), 11);
}

#[test]
fn ed25519() {
    // RFC 8032, section 7.1: tests 1 to 3.
    let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    let root = crypto();
    for (secret, public, message, signature) in vectors {
        let signer = key(&root, &[&format!("import raw ed25519 {secret}")]);
        assert_eq!(text(&root, &format!("key/{signer}/pub")).trim(), public);
        assert_eq!(
            text(&root, &format!("key/{signer}/type")),
            "ed25519 secret\n"
        );
        let message = unhex(message);
        assert_eq!(
            ask(&root, &format!("key/{signer}/sign"), &message),
            line(signature)
        );
        let verifier = key(&root, &[&format!("import public ed25519 {public}")]);
        assert_eq!(text(&root, &format!("key/{verifier}/usages")), "verify\n");
        let question = [signature.as_bytes(), b"\n", &message].concat();
        assert_eq!(
            ask(&root, &format!("key/{verifier}/verify"), &question),
            line("valid")
        );
        let question = [question, b"!".to_vec()].concat();
        assert_eq!(
            ask(&root, &format!("key/{verifier}/verify"), &question),
            line("invalid")
        );
        assert_eq!(
            ask(&root, &format!("key/{verifier}/sign"), &message),
            Err(Errno::Acces)
        );
    }
}

#[test]
fn ecdsa() {
    // RFC 6979, appendix A.2.5: SHA-256, `sample`.
    let secret = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    let public = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    let signature = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    let root = crypto();
    let signer = key(&root, &[&format!("import raw ecdsa-p256 {secret}")]);
    assert_eq!(text(&root, &format!("key/{signer}/pub")).trim(), public);
    let verifier = key(&root, &[&format!("import public ecdsa-p256 {public}")]);
    let verify = |signature: &[u8], message: &str| {
        let question = [signature, b"\n", message.as_bytes()].concat();
        ask(&root, &format!("key/{verifier}/verify"), &question)
    };
    assert_eq!(verify(signature.as_bytes(), "sample"), line("valid"));
    assert_eq!(verify(signature.as_bytes(), "Sample"), line("invalid"));
    assert_eq!(verify(b"00", "sample"), line("invalid"));
    let own = ask(&root, &format!("key/{signer}/sign"), b"other").unwrap();
    assert_eq!(own.len(), 129);
    assert_eq!(verify(own.trim_ascii(), "other"), line("valid"));
}

#[test]
fn hmac() {
    // RFC 4231: test cases 1, 2, 6.
    let vectors = [
        (
            "0b".repeat(20),
            b"Hi There".to_vec(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            hex(b"Jefe"),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "aa".repeat(131),
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    let root = crypto();
    for (secret, message, tag) in vectors {
        let number = key(&root, &[&format!("import raw hmac-sha256 {secret}")]);
        assert_eq!(
            ask(&root, &format!("key/{number}/sign"), &message),
            line(tag)
        );
        let question = [tag.as_bytes(), b"\n", &message].concat();
        assert_eq!(
            ask(&root, &format!("key/{number}/verify"), &question),
            line("valid")
        );
        let question = [&tag.as_bytes()[..62], b"\n", &message].concat();
        assert_eq!(
            ask(&root, &format!("key/{number}/verify"), &question),
            line("invalid")
        );
        assert_eq!(text(&root, &format!("key/{number}/pub")), "");
    }
}

#[test]
fn hkdf() {
    // RFC 5869, appendix A: test cases 1 and 3.
    let root = crypto();
    let secret = "0b".repeat(22);
    let number = key(
        &root,
        &[
            &format!("import raw hkdf {secret}"),
            "salt 000102030405060708090a0b0c",
            "info f0f1f2f3f4f5f6f7f8f9",
            "length 42",
        ],
    );
    let derive = format!("key/{number}/derive");
    let expected =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(ask(&root, &derive, b""), line(expected));
    for command in ["salt", "info"] {
        ctl(&root, &number, command).unwrap();
    }
    let expected =
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    assert_eq!(ask(&root, &derive, b""), line(expected));
    assert_eq!(ask(&root, &derive, b"x"), Err(Errno::Inval));
    for bad in ["length 0", "length 8161", "length x", "salt 0"] {
        assert_eq!(ctl(&root, &number, bad), Err(Errno::Inval), "{bad}");
    }
    ctl(&root, &number, "length 8160").unwrap();
    assert_eq!(ask(&root, &derive, b"").unwrap().len(), 16_321);
}

#[test]
fn x25519() {
    // RFC 7748, section 6.1.
    let root = crypto();
    let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    let alice = key(&root, &[&format!("import raw x25519 {alice}")]);
    let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    let bob = key(&root, &[&format!("import raw x25519 {bob}")]);
    let public = |number: &str| text(&root, &format!("key/{number}/pub")).trim().to_owned();
    let expected = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    assert_eq!(public(&alice), expected);
    assert_eq!(
        ask(&root, &format!("key/{alice}/derive"), b""),
        Err(Errno::Inval)
    );
    ctl(&root, &alice, &format!("peer {}", public(&bob))).unwrap();
    ctl(&root, &bob, &format!("peer {}", public(&alice))).unwrap();
    let shared = line("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(ask(&root, &format!("key/{alice}/derive"), b""), shared);
    assert_eq!(ask(&root, &format!("key/{bob}/derive"), b""), shared);
    ctl(&root, &bob, &format!("peer {}", "00".repeat(32))).unwrap();
    assert_eq!(
        ask(&root, &format!("key/{bob}/derive"), b""),
        Err(Errno::Inval)
    );
    assert_eq!(
        text(&root, &format!("key/{bob}/error")),
        "`peer` is a point of small order\n"
    );
}

#[test]
fn aes_gcm() {
    // SP 800-38D's submission (McGrew and Viega), test cases 4 and 16.
    let text = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let vectors = [
        (
            "feffe9928665731c6d6a8f9467308308",
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ];
    let root = crypto();
    for (secret, ciphertext) in vectors {
        let number = key(
            &root,
            &[
                &format!("import raw aes-gcm {secret}"),
                &format!("aad {aad}"),
                "iv cafebabefacedbaddecaf888",
            ],
        );
        let sealed = ask(&root, &format!("key/{number}/encrypt"), &unhex(text)).unwrap();
        assert_eq!(
            hex(&sealed),
            format!("cafebabefacedbaddecaf888{ciphertext}")
        );
        let decrypt = format!("key/{number}/decrypt");
        assert_eq!(ask(&root, &decrypt, &sealed), Ok(unhex(text)));
        // The vector was used up.
        let again = ask(&root, &format!("key/{number}/encrypt"), &unhex(text)).unwrap();
        assert_ne!(again[..12], sealed[..12]);
        let mut broken = sealed.clone();
        broken[20] ^= 1;
        assert_eq!(ask(&root, &decrypt, &broken), Err(Errno::Badmsg));
        assert_eq!(ask(&root, &decrypt, &sealed[..27]), Err(Errno::Badmsg));
        ctl(&root, &number, "aad").unwrap();
        assert_eq!(ask(&root, &decrypt, &sealed), Err(Errno::Badmsg));
    }
}

#[test]
fn schnorr() {
    // BIP 340, vector 1; the others are checked where the algorithm is.
    let root = crypto();
    let number = key(
        &root,
        &[
            "import raw schnorr-secp256k1 b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
            "aux 0000000000000000000000000000000000000000000000000000000000000001",
        ],
    );
    let message = unhex("243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89");
    let signature = "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de33418906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a";
    assert_eq!(
        ask(&root, &format!("key/{number}/sign"), &message),
        line(signature)
    );
    let again = ask(&root, &format!("key/{number}/sign"), &message).unwrap();
    assert_ne!(again, signature.as_bytes());
    let question = [&again[..], &message].concat();
    assert_eq!(
        ask(&root, &format!("key/{number}/verify"), &question),
        line("valid")
    );
}

#[test]
fn every_algorithm_can_be_generated_and_used() {
    let root = crypto();
    for (algorithm, usages) in [
        ("ed25519", "sign,verify"),
        ("ecdsa-p256", "sign,verify"),
        ("hmac-sha256", "sign,verify"),
        ("schnorr-secp256k1", "sign,verify"),
        ("aes-gcm", "encrypt,decrypt"),
        ("hkdf", "derive"),
        ("x25519", "derive"),
    ] {
        let number = key(&root, &[&format!("generate {algorithm}")]);
        assert_eq!(text(&root, &format!("key/{number}/usages")).trim(), usages);
        for usage in ["sign", "verify", "encrypt", "decrypt", "derive"] {
            let outcome = ask(&root, &format!("key/{number}/{usage}"), b"00\n");
            let had = usages.split(',').any(|had| had == usage);
            // What it lacks, and what these bytes are malformed for.
            let refused = outcome == Err(Errno::Inval) || outcome == Err(Errno::Badmsg);
            assert_eq!(
                refused,
                !had || matches!(usage, "decrypt" | "derive"),
                "{algorithm} {usage}"
            );
        }
    }
}

#[test]
fn usages_are_taken_away_never_added() {
    let root = crypto();
    let number = key(&root, &["usage verify", "generate ed25519"]);
    assert_eq!(
        ask(&root, &format!("key/{number}/sign"), b"x"),
        Err(Errno::Acces)
    );
    assert_eq!(
        text(&root, &format!("key/{number}/error")),
        "the key may not sign; its usages are verify\n"
    );
    assert_eq!(ctl(&root, &number, "usage sign,verify"), Err(Errno::Acces));
    assert_eq!(ctl(&root, &number, "usage fly"), Err(Errno::Inval));
    ctl(&root, &number, "usage").unwrap();
    assert_eq!(text(&root, &format!("key/{number}/usages")), "");
}

#[test]
fn what_is_refused() {
    let root = crypto();
    let number = key(&root, &[]);
    for path in ["sign", "verify", "encrypt", "decrypt", "derive"] {
        assert_eq!(
            ask(&root, &format!("key/{number}/{path}"), b"x"),
            Err(Errno::Inval)
        );
    }
    for bad in [
        "generate",
        "generate rsa",
        "import",
        "import raw ed25519",
        "import raw ed25519 00",
        "sign",
        "iv 00",
        "delete",
    ] {
        assert_eq!(ctl(&root, &number, bad), Err(Errno::Inval), "{bad}");
    }
    assert_eq!(text(&root, &format!("key/{number}/type")), "");
    ctl(&root, &number, "generate hmac-sha256").unwrap();
    assert_eq!(
        ctl(&root, &number, "generate hmac-sha256"),
        Err(Errno::Exist)
    );
    assert_eq!(ctl(&root, &number, "name kept"), Err(Errno::Notsup));
    assert_eq!(
        ask(&root, &format!("key/{number}/verify"), b"no signature"),
        Err(Errno::Inval)
    );
    let long = vec![0; capfs_devices::crypto::MESSAGE_MAX + 1];
    assert_eq!(
        ask(&root, &format!("key/{number}/sign"), &long),
        Err(Errno::Msgsize)
    );
    assert_eq!(
        ask(&root, &format!("key/{number}/sign"), &long[1..])
            .unwrap()
            .len(),
        65
    );
    ctl(&root, &number, "delete").unwrap();
    assert_eq!(
        ask(&root, &format!("key/{number}/sign"), b"x"),
        Err(Errno::Inval)
    );
    // A public key that is another's.
    let jwk = r#"import jwk ed25519 {"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"00qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    assert_eq!(ctl(&root, &number, jwk), Err(Errno::Inval));
    ctl(&root, &number, &jwk.replace("00qY", "11qY")).unwrap();
}

#[test]
fn terms_of_the_grant() {
    let root = granted(
        "crypto,algorithm=ed25519,keys=2,import=no,persist=no",
        None,
        None,
    );
    let number = key(&root, &["generate ed25519"]);
    assert_eq!(ctl(&root, &number, "name a"), Err(Errno::Acces));
    let other = key(&root, &[]);
    assert_eq!(ctl(&root, &other, "generate hkdf"), Err(Errno::Acces));
    let secret = format!("import raw ed25519 {}", "01".repeat(32));
    assert_eq!(ctl(&root, &other, &secret), Err(Errno::Acces));
    let public = text(&root, &format!("key/{number}/pub"));
    ctl(&root, &other, &format!("import public ed25519 {public}")).unwrap();
    assert_eq!(testkit::read(&root, "key/new").err(), Some(Errno::Mfile));
}

#[test]
fn points_of_small_order_are_known() {
    let mut encodings = 0;
    // All in their shortest form that there are, with both signs where they differ: 0, 1, -1 and the two of order 8.
    for text in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        let bytes: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect();
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes[..].try_into().unwrap()).unwrap();
        assert!(key.is_weak() && is_small(&bytes), "{text}");
        encodings += 1;
    }
    assert_eq!(encodings, 8);
    for seed in 0..32 {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
        assert!(!key.is_weak() && !is_small(key.as_bytes()));
    }
}

#[test]
fn points_of_the_curve_are_known() {
    let (mut points, mut others) = (0, 0);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..2000_u64 {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            chunk.copy_from_slice(&random.to_le_bytes());
        }
        // Small ones and those just below 2^255 as well, which are not in their shortest form.
        if round < 64 {
            bytes = [if round < 32 { 0 } else { 0xff }; 32];
            bytes[0] = (round as u8).wrapping_sub(32);
            bytes[31] &= 0x7f;
        }
        let point = ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok();
        assert_eq!(is_point(&bytes), point, "{bytes:x?}");
        *(if point { &mut points } else { &mut others }) += 1;
    }
    assert!(points > 500 && others > 500, "{points} {others}");
}
