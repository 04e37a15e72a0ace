//! What a host does for the device: keys, and what is done with them.

use std::any::Any;
use std::sync::Arc;

#[cfg(doc)]
use capfs::Errno;
use capfs::{MaybeSend, MaybeSync};
use zeroize::Zeroizing;

pub use crate::answer::{Answer, Failure};

/// An algorithm, and with it what a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// [RFC 8032](https://www.rfc-editor.org/rfc/rfc8032), section 5.1: without context or pre-hashing.
    Ed25519,
    /// ECDSA on P-256 with SHA-256 ([FIPS 186-5](https://doi.org/10.6028/NIST.FIPS.186-5)).
    EcdsaP256,
    /// [RFC 2104](https://www.rfc-editor.org/rfc/rfc2104) with SHA-256.
    HmacSha256,
    /// AES in Galois/counter mode, with a tag of 16 bytes
    /// ([SP 800-38D](https://doi.org/10.6028/NIST.SP.800-38D)).
    AesGcm,
    /// [RFC 5869](https://www.rfc-editor.org/rfc/rfc5869) with SHA-256.
    Hkdf,
    /// [RFC 7748](https://www.rfc-editor.org/rfc/rfc7748), section 6.1.
    X25519,
    /// [BIP 340](https://github.com/bitcoin/bips/blob/master/bip-0340.mediawiki).
    SchnorrSecp256k1,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 7] = [
        Algorithm::Ed25519,
        Algorithm::EcdsaP256,
        Algorithm::HmacSha256,
        Algorithm::AesGcm,
        Algorithm::Hkdf,
        Algorithm::X25519,
        Algorithm::SchnorrSecp256k1,
    ];

    /// Its name in commands and grants.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "ed25519",
            Algorithm::EcdsaP256 => "ecdsa-p256",
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::AesGcm => "aes-gcm",
            Algorithm::Hkdf => "hkdf",
            Algorithm::X25519 => "x25519",
            Algorithm::SchnorrSecp256k1 => "schnorr-secp256k1",
        }
    }

    /// The algorithm with this name.
    pub fn of_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// What a key of it can do at most; `secret` is whether it is more than a public key.
    pub const fn usages(self, secret: bool) -> Usages {
        match self {
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::SchnorrSecp256k1 if !secret => {
                Usages::of(&[Usage::Verify])
            }
            Algorithm::Ed25519
            | Algorithm::EcdsaP256
            | Algorithm::SchnorrSecp256k1
            | Algorithm::HmacSha256 => Usages::of(&[Usage::Sign, Usage::Verify]),
            Algorithm::AesGcm => Usages::of(&[Usage::Encrypt, Usage::Decrypt]),
            Algorithm::Hkdf | Algorithm::X25519 => Usages::of(&[Usage::Derive]),
        }
    }

    /// Bytes of a public key, where there are such.
    pub const fn public_length(self) -> Option<usize> {
        match self {
            Algorithm::Ed25519 | Algorithm::X25519 | Algorithm::SchnorrSecp256k1 => Some(32),
            // A point, not compressed: 4, x, y.
            Algorithm::EcdsaP256 => Some(65),
            Algorithm::HmacSha256 | Algorithm::AesGcm | Algorithm::Hkdf => None,
        }
    }

    /// Bytes of a secret that is made anew.
    pub const fn secret_length(self) -> usize {
        match self {
            // A block of SHA-256, as the Web Crypto API has it.
            Algorithm::HmacSha256 => 64,
            _ => 32,
        }
    }

    /// Whether a secret may have this many bytes.
    pub const fn takes_secret_of(self, length: usize) -> bool {
        match self {
            Algorithm::AesGcm => matches!(length, 16 | 32),
            Algorithm::HmacSha256 | Algorithm::Hkdf => length >= 1 && length <= SECRET_MAX,
            _ => length == 32,
        }
    }
}

/// Bytes of the longest secret, of the algorithms that take one of any length.
pub const SECRET_MAX: usize = 4096;

/// Something that a key is used for; each is a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Makes signatures.
    Sign,
    /// Checks signatures.
    Verify,
    /// Encrypts.
    Encrypt,
    /// Decrypts.
    Decrypt,
    /// Derives bytes.
    Derive,
}

impl Usage {
    /// All of them.
    pub const ALL: [Usage; 5] = [
        Usage::Sign,
        Usage::Verify,
        Usage::Encrypt,
        Usage::Decrypt,
        Usage::Derive,
    ];

    /// Its name, which is its file's too.
    pub const fn name(self) -> &'static str {
        match self {
            Usage::Sign => "sign",
            Usage::Verify => "verify",
            Usage::Encrypt => "encrypt",
            Usage::Decrypt => "decrypt",
            Usage::Derive => "derive",
        }
    }
}

/// A set of usages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usages(u8);

impl Usages {
    /// The set of these.
    pub const fn of(usages: &[Usage]) -> Usages {
        let mut set = 0;
        let mut at = 0;
        while at < usages.len() {
            set |= 1 << usages[at] as u8;
            at += 1;
        }
        Usages(set)
    }

    /// Reads what its `Display` writes: names with commas in between.
    pub fn parse(text: &str) -> Option<Usages> {
        let mut set = Usages(0);
        for name in text.split(',').filter(|name| !name.trim().is_empty()) {
            let mut all = Usage::ALL.into_iter();
            let usage = all.find(|usage| usage.name() == name.trim())?;
            set.0 |= Usages::of(&[usage]).0;
        }
        Some(set)
    }

    /// Whether a usage is in it.
    pub const fn has(self, usage: Usage) -> bool {
        self.0 & (1 << usage as u8) != 0
    }

    /// Whether all of another set are in it.
    pub const fn has_all(self, other: Usages) -> bool {
        other.0 & !self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Usages) -> Usages {
        Usages(self.0 & other.0)
    }
}

impl std::fmt::Display for Usages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = Usage::ALL.into_iter().filter(|usage| self.has(*usage));
        if let Some(first) = all.next() {
            f.write_str(first.name())?;
        }
        all.try_for_each(|usage| write!(f, ",{}", usage.name()))
    }
}

/// What is imported, checked for its form and length alone.
pub struct Material {
    /// The secret: a seed (`ed25519`), a scalar, or the key's bytes.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// The public key, in the form of `pub`. Beside a secret, the device checks that it belongs to it.
    pub public: Option<Vec<u8>>,
}

/// An operation with a key, its parameters complete.
pub enum Request {
    /// Signs; the answer is the signature.
    Sign {
        /// The message, which need not be a digest.
        message: Vec<u8>,
        /// What `schnorr-secp256k1` mixes into its nonce; others have no use for it.
        auxiliary: [u8; 32],
    },
    /// Checks a signature; the answer is one byte, 1 where it is valid.
    Verify {
        /// The message.
        message: Vec<u8>,
        /// The signature, of any length.
        signature: Vec<u8>,
    },
    /// Encrypts; the answer is ciphertext and tag.
    Encrypt {
        /// The initialisation vector.
        iv: [u8; 12],
        /// What is authenticated beside the text.
        additional: Vec<u8>,
        /// The text.
        text: Vec<u8>,
    },
    /// Decrypts; the answer is the text.
    ///
    /// # Errors
    /// - [`Errno::Badmsg`]: not what was encrypted
    Decrypt {
        /// The initialisation vector.
        iv: [u8; 12],
        /// What was authenticated beside the text.
        additional: Vec<u8>,
        /// Ciphertext and tag.
        ciphertext: Vec<u8>,
    },
    /// Derives bytes by HKDF.
    Expand {
        /// The salt.
        salt: Vec<u8>,
        /// The context.
        info: Vec<u8>,
        /// How many bytes: 1 to 8160.
        length: usize,
    },
    /// Agrees on a secret of 32 bytes.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: a point of small order, with which the secret would be zero
    Agree {
        /// The other side's public key.
        peer: [u8; 32],
    },
}

/// A key, which the host does not hand out.
pub trait Key: MaybeSend + MaybeSync + Any {
    /// Its algorithm.
    fn algorithm(&self) -> Algorithm;

    /// Whether it is more than a public key.
    fn secret(&self) -> bool;

    /// The public key in the form of `pub`, where there is one.
    fn public(&self) -> Option<Vec<u8>>;

    /// Uses it. The device has checked that the algorithm has this operation and that the key may do it.
    fn perform(&self, request: Request) -> Answer<Vec<u8>>;

    /// For a store to recognise its own keys.
    fn as_any(&self) -> &dyn Any;
}

/// A key that was kept.
pub struct Stored {
    /// The key.
    pub key: Arc<dyn Key>,
    /// What it may be used for.
    pub usages: Usages,
}

/// Where keys come from, and where one agent's are kept.
pub trait KeyStore: MaybeSend + MaybeSync + 'static {
    /// Makes a key.
    ///
    /// # Errors
    /// - [`Errno::Notsup`]: the host lacks the algorithm
    /// - [`Errno::Io`]: the host has no random numbers
    fn generate(&self, algorithm: Algorithm) -> Answer<Arc<dyn Key>>;

    /// Makes a key of what an agent has.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: no such key can be
    /// - [`Errno::Notsup`]: the host lacks the algorithm
    fn import(&self, algorithm: Algorithm, material: Material) -> Answer<Arc<dyn Key>>;

    /// Whether keys can be kept at all. Where not, the methods below are not called.
    fn persists(&self) -> bool;

    /// The names of the keys that are kept, in any order.
    ///
    /// # Errors
    /// - [`Errno::Io`]: they can't be listed
    fn names(&self) -> Answer<Vec<String>>;

    /// The key with this name, if there is one.
    ///
    /// # Errors
    /// - [`Errno::Io`]: it can't be read, or is damaged
    fn load(&self, name: &str) -> Answer<Option<Stored>>;

    /// Keeps a key of its own under a name. It has been kept when the answer comes.
    ///
    /// # Errors
    /// - [`Errno::Exist`]: there is one with this name, and it may not be replaced
    /// - [`Errno::Nospc`], [`Errno::Dquot`]: no room
    /// - [`Errno::Io`]: it can't be written
    fn save(&self, name: &str, key: &Arc<dyn Key>, usages: Usages, replace: bool) -> Answer<()>;

    /// Forgets a key; nothing happens where there is none.
    ///
    /// # Errors
    /// - [`Errno::Io`]: it can't be removed
    fn remove(&self, name: &str) -> Answer<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_usages() {
        let of = |text| Usages::parse(text).unwrap();
        // What is said twice is said, and the order is that of the files.
        assert_eq!(of("verify, sign,sign").to_string(), "sign,verify");
        assert_eq!(of("").to_string(), "");
        assert_eq!(Usages::parse("sign,guess"), None);
        assert_eq!(of("sign,verify"), Usages::of(&Usage::ALL[..2]));
        for (at, usage) in Usage::ALL.into_iter().enumerate() {
            let others: Vec<_> = Usage::ALL.into_iter().filter(|one| *one != usage).collect();
            let (one, others) = (Usages::of(&[usage]), Usages::of(&others));
            assert_eq!(one.to_string(), usage.name());
            assert_eq!(Usages::of(&[usage, usage]), one);
            assert!(one.has(usage) && !others.has(usage), "{at}");
            assert!(Usages::of(&Usage::ALL).has_all(one) && one.has_all(one));
            assert!(!others.has_all(one) && !one.has_all(others));
            assert_eq!(one.and(others), Usages::of(&[]));
            assert_eq!(Usages::of(&Usage::ALL).and(others), others);
        }
    }
}
