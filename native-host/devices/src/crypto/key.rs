//! Keys in this process's memory, which is wiped behind them.

use std::any::Any;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use capfs::Errno;
use capfs_devices::crypto::{
    Algorithm, Answer, Failure, Key, Material, Request, SchnorrPublic, SchnorrSecret,
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::{Signer, Verifier};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A key: what it was made of, for keeping it, and what computes with it.
pub(super) struct SoftKey {
    algorithm: Algorithm,
    secret: Option<Zeroizing<Vec<u8>>>,
    public: Option<Vec<u8>>,
    engine: Engine,
}

enum Engine {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Ed25519Public(Box<ed25519_dalek::VerifyingKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    P256Public(Box<p256::ecdsa::VerifyingKey>),
    Schnorr(Box<SchnorrSecret>),
    SchnorrPublic(Box<SchnorrPublic>),
    X25519(Box<x25519_dalek::StaticSecret>),
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    /// The secret's bytes are all that it takes.
    Bytes,
}

fn invalid(text: &str) -> Failure {
    Failure::new(Errno::Inval, text)
}

impl SoftKey {
    pub(super) fn generate(algorithm: Algorithm) -> Result<SoftKey, Failure> {
        // A number that is no scalar of its curve comes up once in 2^32 times at most.
        for _ in 0..16 {
            let mut secret = Zeroizing::new(vec![0; algorithm.secret_length()]);
            getrandom::fill(&mut secret)
                .map_err(|_| Failure::new(Errno::Io, "the system has no random numbers"))?;
            if let Ok(key) = SoftKey::of_secret(algorithm, secret) {
                return Ok(key);
            }
        }
        Err(Failure::new(
            Errno::Io,
            "the system's random numbers are not",
        ))
    }

    pub(super) fn import(algorithm: Algorithm, material: Material) -> Result<SoftKey, Failure> {
        match (material.secret, material.public) {
            (Some(secret), _) => SoftKey::of_secret(algorithm, secret),
            (None, Some(public)) => SoftKey::of_public(algorithm, public),
            (None, None) => Err(invalid("neither a secret nor a public key")),
        }
    }

    fn of_secret(algorithm: Algorithm, secret: Zeroizing<Vec<u8>>) -> Result<SoftKey, Failure> {
        let length = || invalid("a secret of another length");
        let array = || <[u8; 32]>::try_from(&secret[..]).map(Zeroizing::new);
        let (engine, public) = match algorithm {
            Algorithm::Ed25519 => {
                let seed = array().map_err(|_| length())?;
                let key = ed25519_dalek::SigningKey::from_bytes(&seed);
                let public = key.verifying_key().to_bytes().to_vec();
                (Engine::Ed25519(Box::new(key)), Some(public))
            }
            Algorithm::EcdsaP256 => {
                let key = p256::ecdsa::SigningKey::from_slice(&secret);
                let key = key.map_err(|_| invalid("not a secret of P-256"))?;
                let public = key.verifying_key().to_sec1_point(false);
                (
                    Engine::P256(Box::new(key)),
                    Some(public.as_bytes().to_vec()),
                )
            }
            Algorithm::SchnorrSecp256k1 => {
                let key = SchnorrSecret::new(&secret)?;
                let public = key.public().to_bytes();
                (Engine::Schnorr(Box::new(key)), Some(public))
            }
            Algorithm::X25519 => {
                let scalar = array().map_err(|_| length())?;
                let key = x25519_dalek::StaticSecret::from(*scalar);
                let public = x25519_dalek::PublicKey::from(&key).to_bytes().to_vec();
                (Engine::X25519(Box::new(key)), Some(public))
            }
            Algorithm::AesGcm => {
                let engine = match secret.len() {
                    16 => Aes128Gcm::new_from_slice(&secret)
                        .map(|cipher| Engine::Aes128(Box::new(cipher))),
                    _ => Aes256Gcm::new_from_slice(&secret)
                        .map(|cipher| Engine::Aes256(Box::new(cipher))),
                };
                (engine.map_err(|_| length())?, None)
            }
            Algorithm::HmacSha256 | Algorithm::Hkdf => (Engine::Bytes, None),
        };
        Ok(SoftKey {
            algorithm,
            secret: Some(secret),
            public,
            engine,
        })
    }

    fn of_public(algorithm: Algorithm, public: Vec<u8>) -> Result<SoftKey, Failure> {
        let engine = match algorithm {
            Algorithm::Ed25519 => {
                let bytes = public.as_slice().try_into().ok();
                let key =
                    bytes.and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).ok());
                Engine::Ed25519Public(Box::new(
                    key.ok_or_else(|| invalid("not a point of Ed25519"))?,
                ))
            }
            Algorithm::EcdsaP256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&public);
                Engine::P256Public(Box::new(key.map_err(|_| invalid("not a point of P-256"))?))
            }
            Algorithm::SchnorrSecp256k1 => {
                Engine::SchnorrPublic(Box::new(SchnorrPublic::new(&public)?))
            }
            _ => return Err(invalid("the algorithm has no public keys")),
        };
        Ok(SoftKey {
            algorithm,
            secret: None,
            public: Some(public),
            engine,
        })
    }

    /// What it is made of, for keeping it.
    pub(super) fn bytes(&self) -> &[u8] {
        match (&self.secret, &self.public) {
            (Some(secret), _) => secret,
            (None, Some(public)) => public,
            (None, None) => &[],
        }
    }

    fn mac(&self, message: &[u8]) -> Result<Hmac<Sha256>, Failure> {
        let mac = Hmac::<Sha256>::new_from_slice(self.bytes());
        let mac = mac.map_err(|_| invalid("a secret of another length"))?;
        Ok(mac.chain_update(message))
    }

    fn sign(&self, message: &[u8], auxiliary: &[u8; 32]) -> Result<Vec<u8>, Failure> {
        match &self.engine {
            Engine::Ed25519(key) => Ok(key.sign(message).to_vec()),
            Engine::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                Ok(signature.to_vec())
            }
            Engine::Schnorr(key) => key.sign(message, auxiliary),
            _ => Ok(self.mac(message)?.finalize().into_bytes().to_vec()),
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<bool, Failure> {
        let ed25519 = |key: &ed25519_dalek::VerifyingKey| {
            ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
        };
        let p256 = |key: &p256::ecdsa::VerifyingKey| {
            p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok())
        };
        Ok(match &self.engine {
            Engine::Ed25519(key) => ed25519(&key.verifying_key()),
            Engine::Ed25519Public(key) => ed25519(key),
            Engine::P256(key) => p256(key.verifying_key()),
            Engine::P256Public(key) => p256(key),
            Engine::Schnorr(key) => key.public().verify(message, signature),
            Engine::SchnorrPublic(key) => key.verify(message, signature),
            _ => self.mac(message)?.verify_slice(signature).is_ok(),
        })
    }

    fn answer(&self, request: Request) -> Result<Vec<u8>, Failure> {
        match (request, &self.engine) {
            (Request::Sign { message, auxiliary }, _) => self.sign(&message, &auxiliary),
            (Request::Verify { message, signature }, _) => {
                Ok(vec![self.verify(&message, &signature)?.into()])
            }
            (
                Request::Encrypt {
                    iv,
                    additional,
                    text,
                },
                engine,
            ) => {
                let payload = Payload {
                    msg: &text,
                    aad: &additional,
                };
                let sealed = match engine {
                    Engine::Aes128(cipher) => cipher.encrypt(&iv.into(), payload),
                    Engine::Aes256(cipher) => cipher.encrypt(&iv.into(), payload),
                    _ => return Err(invalid("the key does not encrypt")),
                };
                sealed.map_err(|_| Failure::new(Errno::Msgsize, "too long"))
            }
            (
                Request::Decrypt {
                    iv,
                    additional,
                    ciphertext,
                },
                engine,
            ) => {
                let payload = Payload {
                    msg: &ciphertext,
                    aad: &additional,
                };
                let opened = match engine {
                    Engine::Aes128(cipher) => cipher.decrypt(&iv.into(), payload),
                    Engine::Aes256(cipher) => cipher.decrypt(&iv.into(), payload),
                    _ => return Err(invalid("the key does not decrypt")),
                };
                opened.map_err(|_| {
                    Failure::new(
                        Errno::Badmsg,
                        "not what was encrypted with this key and `aad`",
                    )
                })
            }
            (Request::Expand { salt, info, length }, _) => {
                let mut output = vec![0; length];
                let expanded =
                    Hkdf::<Sha256>::new(Some(&salt), self.bytes()).expand(&info, &mut output);
                expanded.map_err(|_| invalid("more bytes than HKDF gives"))?;
                Ok(output)
            }
            (Request::Agree { peer }, Engine::X25519(key)) => {
                let shared = key.diffie_hellman(&peer.into());
                match shared.was_contributory() {
                    true => Ok(shared.as_bytes().to_vec()),
                    false => Err(invalid("`peer` is a point of small order")),
                }
            }
            (Request::Agree { .. }, _) => Err(invalid("the key does not derive")),
        }
    }
}

impl Key for SoftKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn secret(&self) -> bool {
        self.secret.is_some()
    }

    fn public(&self) -> Option<Vec<u8>> {
        self.public.clone()
    }

    fn perform(&self, request: Request) -> Answer<Vec<u8>> {
        super::answer(self.answer(request))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
