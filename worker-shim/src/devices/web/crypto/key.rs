//! Keys of the Web Crypto API, and those of BIP 340 in the kernel's memory.

use std::any::Any;
use std::rc::Rc;

use capfs::Errno;
use capfs_devices::crypto::{
    Algorithm, Answer, Failure, Key, Material, Request, SchnorrPublic, SchnorrSecret, ed25519,
};
use wasm_bindgen::JsValue;
use zeroize::Zeroizing;

use super::subtle::{self, bytes, object, property};
use crate::web;

/// A key.
pub(super) struct WebKey {
    pub(super) algorithm: Algorithm,
    pub(super) public: Option<Vec<u8>>,
    pub(super) engine: Engine,
}

/// What computes.
#[derive(Clone)]
pub(super) enum Engine {
    /// `CryptoKey`s; `secret` is the only one of an algorithm that has no public keys.
    Web {
        secret: Option<JsValue>,
        public: Option<JsValue>,
    },
    /// The secret, and its bytes for keeping it.
    Schnorr(Rc<(SchnorrSecret, Zeroizing<Vec<u8>>)>),
    SchnorrPublic(Rc<SchnorrPublic>),
}

fn invalid(text: &str) -> Failure {
    Failure::new(Errno::Inval, text)
}

/// The algorithm as the API wants it for making, importing and using keys.
fn parameters(algorithm: Algorithm) -> JsValue {
    let name = match algorithm {
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256 => "ECDSA",
        Algorithm::HmacSha256 => "HMAC",
        Algorithm::AesGcm => "AES-GCM",
        Algorithm::Hkdf => "HKDF",
        Algorithm::X25519 => "X25519",
        // Never asked of the API.
        Algorithm::SchnorrSecp256k1 => "",
    };
    object(&[
        ("name", name.into()),
        ("namedCurve", "P-256".into()),
        ("hash", "SHA-256".into()),
        ("length", 256.into()),
    ])
}

/// As [`parameters`], for keys of HMAC: without `length`, a key has the length that it has.
fn import_parameters(algorithm: Algorithm) -> JsValue {
    match algorithm {
        Algorithm::HmacSha256 => object(&[("name", "HMAC".into()), ("hash", "SHA-256".into())]),
        other => parameters(other),
    }
}

/// What a secret key does, and what a public one.
fn usages(algorithm: Algorithm) -> (&'static [&'static str], &'static [&'static str]) {
    match algorithm {
        Algorithm::Ed25519 | Algorithm::EcdsaP256 => (&["sign"], &["verify"]),
        Algorithm::HmacSha256 => (&["sign", "verify"], &[]),
        Algorithm::AesGcm => (&["encrypt", "decrypt"], &[]),
        Algorithm::Hkdf | Algorithm::X25519 => (&["deriveBits"], &[]),
        Algorithm::SchnorrSecp256k1 => (&[], &[]),
    }
}

/// What stands in front of a secret in PKCS #8 (RFC 5958, RFC 8410, RFC 5915), without a public key behind it.
fn pkcs8_head(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Ed25519 => b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
        Algorithm::X25519 => b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20",
        _ => {
            b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20"
        }
    }
}

/// What stands in front of a secret of P-256 in PKCS #8 that its public key is behind.
const P256_HEAD: &[u8] = b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";

/// What stands between the two.
const P256_PUBLIC_HEAD: &[u8] = b"\xa1\x44\x03\x42\x00";

/// Decodes base64url without padding, of which a JWK is made.
fn base64url(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    decoded
}

impl WebKey {
    fn schnorr(secret: Zeroizing<Vec<u8>>) -> Result<WebKey, Failure> {
        let key = SchnorrSecret::new(&secret)?;
        Ok(WebKey {
            algorithm: Algorithm::SchnorrSecp256k1,
            public: Some(key.public().to_bytes()),
            engine: Engine::Schnorr(Rc::new((key, secret))),
        })
    }

    fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut secret = Zeroizing::new(vec![0; length]);
        web::random(&mut secret)
            .map_err(|errno| Failure::new(errno, "the browser has no random numbers"))?;
        Ok(secret)
    }

    pub(super) async fn generate(algorithm: Algorithm) -> Result<WebKey, Failure> {
        match algorithm {
            Algorithm::SchnorrSecp256k1 => {
                // A number that is no scalar of the curve comes up once in 2^128 times.
                WebKey::schnorr(WebKey::random(32)?)
            }
            // The API makes no keys of HKDF, and HMAC's only by their length.
            Algorithm::Hkdf | Algorithm::HmacSha256 => {
                let secret = WebKey::random(algorithm.secret_length())?;
                WebKey::of_secret(algorithm, &secret).await
            }
            Algorithm::AesGcm => {
                let (secret, _) = usages(algorithm);
                let key = subtle::generate(&parameters(algorithm), secret).await?;
                Ok(WebKey {
                    algorithm,
                    public: None,
                    engine: Engine::Web {
                        secret: Some(key),
                        public: None,
                    },
                })
            }
            Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::X25519 => {
                let (secret, public) = usages(algorithm);
                let all = [secret, public].concat();
                let pair = subtle::generate(&parameters(algorithm), &all).await?;
                let public = property(&pair, "publicKey");
                let raw = subtle::export("raw", &public).await?;
                Ok(WebKey {
                    algorithm,
                    public: Some(subtle::from_buffer(&raw)),
                    engine: Engine::Web {
                        secret: Some(property(&pair, "privateKey")),
                        public: Some(public),
                    },
                })
            }
        }
    }

    pub(super) async fn import(
        algorithm: Algorithm,
        material: Material,
    ) -> Result<WebKey, Failure> {
        let Some(secret) = material.secret else {
            let public = material
                .public
                .ok_or_else(|| invalid("neither a secret nor a public key"))?;
            return WebKey::of_public(algorithm, public).await;
        };
        match algorithm {
            Algorithm::SchnorrSecp256k1 => WebKey::schnorr(secret),
            Algorithm::HmacSha256 | Algorithm::AesGcm | Algorithm::Hkdf => {
                WebKey::of_secret(algorithm, &secret).await
            }
            Algorithm::EcdsaP256 => match material.public {
                Some(public) => WebKey::of_p256(&secret, public).await,
                // The scalar alone: not every engine works out the point of it. Firefox takes it, and can't say then.
                None => {
                    let pair = WebKey::of_pair(algorithm, &secret).await;
                    pair.map_err(|failure| match failure.errno {
                        Errno::Io => {
                            let text = "this browser can't tell the public key of a secret, or there is none: import it with its public key";
                            Failure::new(Errno::Notsup, text)
                        }
                        _ => failure,
                    })
                }
            },
            Algorithm::Ed25519 | Algorithm::X25519 => WebKey::of_pair(algorithm, &secret).await,
        }
    }

    async fn of_secret(algorithm: Algorithm, secret: &[u8]) -> Result<WebKey, Failure> {
        let (may, _) = usages(algorithm);
        let key = subtle::import("raw", secret, &import_parameters(algorithm), false, may).await?;
        Ok(WebKey {
            algorithm,
            public: None,
            engine: Engine::Web {
                secret: Some(key),
                public: None,
            },
        })
    }

    /// A secret that has a public key, which the API tells of keys alone that can be extracted: it is imported as
    /// such a key first, which nobody sees, and then for good.
    async fn of_pair(algorithm: Algorithm, secret: &[u8]) -> Result<WebKey, Failure> {
        let (may, public_may) = usages(algorithm);
        let parameters = parameters(algorithm);
        let pkcs8 = Zeroizing::new([pkcs8_head(algorithm), secret].concat());
        let open = subtle::import("pkcs8", &pkcs8, &parameters, true, may).await?;
        let jwk = subtle::export("jwk", &open).await?;
        let coordinate = |name| base64url(&property(&jwk, name).as_string().unwrap_or_default());
        let public = match algorithm {
            Algorithm::EcdsaP256 => [vec![4], coordinate("x"), coordinate("y")].concat(),
            _ => coordinate("x"),
        };
        let key = subtle::import("pkcs8", &pkcs8, &parameters, false, may).await?;
        let verifier = subtle::import("raw", &public, &parameters, true, public_may).await?;
        Ok(WebKey {
            algorithm,
            public: Some(public),
            engine: Engine::Web {
                secret: Some(key),
                public: Some(verifier),
            },
        })
    }

    /// A secret of P-256 with the public key that it came with. Whether that belongs to it not every engine looks at, so
    /// a signature tells.
    async fn of_p256(secret: &[u8], public: Vec<u8>) -> Result<WebKey, Failure> {
        let algorithm = Algorithm::EcdsaP256;
        let (may, public_may) = usages(algorithm);
        let parameters = parameters(algorithm);
        let head = [P256_HEAD, secret, P256_PUBLIC_HEAD, &public];
        let pkcs8 = Zeroizing::new(head.concat());
        let key = subtle::import("pkcs8", &pkcs8, &parameters, false, may).await?;
        let verifier = subtle::import("raw", &public, &parameters, true, public_may).await?;
        let apart = || invalid("the public key does not belong to the secret");
        // What is no scalar of the curve is taken by some engines, and signs nothing.
        let signature = subtle::sign(&parameters, &key, b"").await;
        let signature = signature.map_err(|_| apart())?;
        if !subtle::verify(&parameters, &verifier, &signature, b"").await? {
            return Err(apart());
        }
        Ok(WebKey {
            algorithm,
            public: Some(public),
            engine: Engine::Web {
                secret: Some(key),
                public: Some(verifier),
            },
        })
    }

    /// What not every engine notices.
    fn is_forged(&self, request: &Request) -> bool {
        let Request::Verify { signature, .. } = request else {
            return false;
        };
        let small = |point: &[u8]| ed25519::is_small(point);
        self.algorithm == Algorithm::Ed25519
            && (small(signature) || self.public.as_deref().is_some_and(small))
    }

    async fn of_public(algorithm: Algorithm, public: Vec<u8>) -> Result<WebKey, Failure> {
        let engine = match algorithm {
            Algorithm::SchnorrSecp256k1 => {
                Engine::SchnorrPublic(Rc::new(SchnorrPublic::new(&public)?))
            }
            // Engines take what is none, and find every signature invalid then.
            Algorithm::Ed25519 if !ed25519::is_point(&public) => {
                return Err(invalid("not a point of Ed25519"));
            }
            _ => {
                let (_, may) = usages(algorithm);
                let parameters = parameters(algorithm);
                let key = subtle::import("raw", &public, &parameters, true, may).await?;
                Engine::Web {
                    secret: None,
                    public: Some(key),
                }
            }
        };
        Ok(WebKey {
            algorithm,
            public: Some(public),
            engine,
        })
    }
}

/// The parameters of AES-GCM for one text.
pub(super) fn gcm(iv: &[u8; 12], additional: &[u8]) -> JsValue {
    object(&[
        ("name", "AES-GCM".into()),
        ("iv", bytes(iv).into()),
        ("additionalData", bytes(additional).into()),
        ("tagLength", 128.into()),
    ])
}

async fn perform(
    algorithm: Algorithm,
    engine: Engine,
    request: Request,
) -> Result<Vec<u8>, Failure> {
    let lacks = || invalid("the key does not do that");
    let (secret, public) = match engine {
        Engine::Web { secret, public } => (secret, public),
        Engine::Schnorr(key) => {
            return match request {
                Request::Sign { message, auxiliary } => key.0.sign(&message, &auxiliary),
                Request::Verify { message, signature } => {
                    Ok(vec![key.0.public().verify(&message, &signature).into()])
                }
                _ => Err(lacks()),
            };
        }
        Engine::SchnorrPublic(key) => {
            return match request {
                Request::Verify { message, signature } => {
                    Ok(vec![key.verify(&message, &signature).into()])
                }
                _ => Err(lacks()),
            };
        }
    };
    let key = secret.as_ref();
    match request {
        Request::Sign { message, .. } => {
            subtle::sign(&parameters(algorithm), key.ok_or_else(lacks)?, &message).await
        }
        Request::Verify { message, signature } => {
            let key = public.as_ref().or(key).ok_or_else(lacks)?;
            let valid = subtle::verify(&parameters(algorithm), key, &signature, &message).await?;
            Ok(vec![valid.into()])
        }
        Request::Encrypt {
            iv,
            additional,
            text,
        } => subtle::encrypt(&gcm(&iv, &additional), key.ok_or_else(lacks)?, &text).await,
        Request::Decrypt {
            iv,
            additional,
            ciphertext,
        } => {
            let damaged = || {
                let text = "not what was encrypted with this key and `aad`";
                Failure::new(Errno::Badmsg, text)
            };
            let parameters = gcm(&iv, &additional);
            subtle::decrypt(&parameters, key.ok_or_else(lacks)?, &ciphertext, damaged).await
        }
        Request::Expand { salt, info, length } => {
            let parameters = object(&[
                ("name", "HKDF".into()),
                ("hash", "SHA-256".into()),
                ("salt", bytes(&salt).into()),
                ("info", bytes(&info).into()),
            ]);
            let refused = || invalid("more bytes than HKDF gives");
            subtle::derive(&parameters, key.ok_or_else(lacks)?, length, refused).await
        }
        Request::Agree { peer } => {
            let refused = || invalid("`peer` is a point of small order");
            // Firefox refuses such a point when it is imported already.
            let peer = subtle::import("raw", &peer, &parameters(algorithm), true, &[]).await;
            let peer = peer.map_err(|failure| match failure.errno {
                Errno::Inval => refused(),
                _ => failure,
            })?;
            let parameters = object(&[("name", "X25519".into()), ("public", peer)]);
            subtle::derive(&parameters, key.ok_or_else(lacks)?, 32, refused).await
        }
    }
}

impl Key for WebKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn secret(&self) -> bool {
        matches!(
            self.engine,
            Engine::Web {
                secret: Some(_),
                ..
            } | Engine::Schnorr(_)
        )
    }

    fn public(&self) -> Option<Vec<u8>> {
        self.public.clone()
    }

    fn perform(&self, request: Request) -> Answer<Vec<u8>> {
        if self.is_forged(&request) {
            return Box::pin(std::future::ready(Ok(vec![false.into()])));
        }
        Box::pin(perform(self.algorithm, self.engine.clone(), request))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
