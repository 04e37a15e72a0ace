//! What `import` reads: keys as they are written elsewhere.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use capfs::Errno;
use pkcs8::der::Decode;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use serde_json::Value;
use zeroize::Zeroizing;

use super::host::{Algorithm, Failure, Material};
use crate::hex;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");

fn malformed(text: impl Into<String>) -> Failure {
    Failure::new(Errno::Inval, text)
}

/// Reads `FORMAT` and its data for an algorithm; lengths are checked here too.
///
/// # Errors
/// - [`Errno::Inval`]: malformed, of another algorithm, or of a length that it can't have
pub(super) fn read(format: &str, algorithm: Algorithm, data: &str) -> Result<Material, Failure> {
    let material = match format {
        "raw" => {
            let bytes = hex::decode(data).map(Zeroizing::new);
            Material {
                secret: Some(bytes.ok_or_else(|| malformed("expected hexadecimal digits"))?),
                public: None,
            }
        }
        "public" => Material {
            secret: None,
            public: Some(
                hex::decode(data).ok_or_else(|| malformed("expected hexadecimal digits"))?,
            ),
        },
        "pkcs8" => from_pkcs8(algorithm, data)?,
        "jwk" => from_jwk(algorithm, data)?,
        _ => return Err(malformed("a key is imported as raw, public, pkcs8 or jwk")),
    };
    let name = algorithm.name();
    if let Some(secret) = &material.secret
        && !algorithm.takes_secret_of(secret.len())
    {
        let length = secret.len();
        let text = format!("a secret of `{name}` can't have {length} bytes");
        return Err(malformed(text));
    }
    if let Some(public) = &material.public {
        let expected = algorithm.public_length();
        let expected = expected.ok_or_else(|| malformed(format!("`{name}` has no public keys")))?;
        if public.len() != expected {
            let text = format!("a public key of `{name}` has {expected} bytes");
            return Err(malformed(text));
        }
        if algorithm == Algorithm::EcdsaP256 && public[0] != 4 {
            return Err(malformed("expected a point that is not compressed"));
        }
        if algorithm == Algorithm::X25519 && material.secret.is_none() {
            return Err(malformed(
                "with a public key of `x25519` alone nothing can be done; see `peer`",
            ));
        }
    }
    Ok(material)
}

/// PKCS #8 ([RFC 5958](https://www.rfc-editor.org/rfc/rfc5958)) in base64, without the lines of PEM around it.
fn from_pkcs8(algorithm: Algorithm, data: &str) -> Result<Material, Failure> {
    let wrong = || malformed("malformed PKCS #8");
    let der = Base64::decode_vec(data).map(Zeroizing::new);
    let der = der.map_err(|_| malformed("expected base64"))?;
    let info = PrivateKeyInfoRef::try_from(&der[..]).map_err(|_| wrong())?;
    let curve = info
        .algorithm
        .parameters
        .and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let elliptic = |expected| info.algorithm.oid == EC && curve == Some(expected);
    // RFC 8410, section 3: they have no parameters, not even none (`NULL`).
    let bare = |expected| info.algorithm.oid == expected && info.algorithm.parameters.is_none();
    let fits = match algorithm {
        Algorithm::Ed25519 => bare(ED25519),
        Algorithm::X25519 => bare(X25519),
        Algorithm::EcdsaP256 => elliptic(P256),
        Algorithm::SchnorrSecp256k1 => elliptic(SECP256K1),
        _ => false,
    };
    if !fits {
        let name = algorithm.name();
        return Err(malformed(format!("this PKCS #8 is no key of `{name}`")));
    }
    match algorithm {
        Algorithm::EcdsaP256 | Algorithm::SchnorrSecp256k1 => {
            let key =
                sec1::EcPrivateKey::from_der(info.private_key.as_bytes()).map_err(|_| wrong())?;
            // The key may name its curve once more, which can't be another one.
            let named = key.parameters.map(sec1::EcParameters::named_curve);
            if named.is_some_and(|named| named != curve) {
                return Err(malformed("the key names another curve than its PKCS #8"));
            }
            Ok(Material {
                secret: Some(Zeroizing::new(key.private_key.to_vec())),
                public: match key.public_key {
                    Some(point) => Some(public_of_point(algorithm, point)?),
                    None => None,
                },
            })
        }
        _ => {
            // RFC 8410: the octet string holds an octet string.
            let inner = <&OctetStringRef>::from_der(info.private_key.as_bytes());
            let inner = inner.map_err(|_| wrong())?;
            Ok(Material {
                secret: Some(Zeroizing::new(inner.as_bytes().to_vec())),
                public: match info.public_key {
                    Some(bits) => Some(bits.as_bytes().ok_or_else(wrong)?.to_vec()),
                    None => None,
                },
            })
        }
    }
}

/// What a public key is of a point: all of it, or with BIP 340 its x coordinate.
fn public_of_point(algorithm: Algorithm, point: &[u8]) -> Result<Vec<u8>, Failure> {
    let ([4, x @ ..], 65) = (point, point.len()) else {
        return Err(malformed("expected a point that is not compressed"));
    };
    Ok(match algorithm {
        Algorithm::SchnorrSecp256k1 => x[..32].to_vec(),
        _ => point.to_vec(),
    })
}

/// JSON Web Key ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517),
/// [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037)). `alg`, `use`, `key_ops` and `ext` are not looked at.
fn from_jwk(algorithm: Algorithm, data: &str) -> Result<Material, Failure> {
    let value: Value =
        serde_json::from_str(data).map_err(|_| malformed("expected a JSON object"))?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let bytes = |key: &str| match text(key) {
        None => Ok(None),
        Some(text) => match Base64UrlUnpadded::decode_vec(text) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(_) => Err(malformed(format!("`{key}` is not base64url"))),
        },
    };
    let needed = |key: &str| bytes(key)?.ok_or_else(|| malformed(format!("`{key}` is missing")));
    let (family, curve) = match algorithm {
        Algorithm::Ed25519 => ("OKP", Some("Ed25519")),
        Algorithm::X25519 => ("OKP", Some("X25519")),
        Algorithm::EcdsaP256 => ("EC", Some("P-256")),
        Algorithm::SchnorrSecp256k1 => ("EC", Some("secp256k1")),
        Algorithm::HmacSha256 | Algorithm::AesGcm | Algorithm::Hkdf => ("oct", None),
    };
    if text("kty") != Some(family) || curve.is_some() && text("crv") != curve {
        let name = algorithm.name();
        return Err(malformed(format!("this JWK is no key of `{name}`")));
    }
    let Some(_) = curve else {
        return Ok(Material {
            secret: Some(needed("k")?),
            public: None,
        });
    };
    let mut public = needed("x")?.to_vec();
    if algorithm == Algorithm::EcdsaP256 {
        public = [&[4][..], &public, &needed("y")?].concat();
    }
    Ok(Material {
        secret: bytes("d")?,
        public: Some(public),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        // RFC 8410, section 10.3, and RFC 8037, appendix A.1.
        let secret = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
        let pkcs8 = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
        let read_secret = |format, algorithm, data| {
            let material = read(format, algorithm, data)?;
            Ok::<_, Failure>(material.secret.map(|secret| hex::encode(&secret)))
        };
        let expected = Ok(Some(secret.to_owned()));
        assert_eq!(read_secret("raw", Algorithm::Ed25519, secret), expected);
        assert_eq!(read_secret("pkcs8", Algorithm::Ed25519, pkcs8), expected);
        assert!(read("pkcs8", Algorithm::X25519, pkcs8).is_err());
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let material = read("jwk", Algorithm::Ed25519, jwk).unwrap();
        assert_eq!(material.public.unwrap().len(), 32);
        assert!(read("jwk", Algorithm::EcdsaP256, jwk).is_err());
        assert!(read("jwk", Algorithm::HmacSha256, r#"{"kty":"oct","k":"AQID"}"#).is_ok());
    }

    /// A value of DER, of fewer than 128 bytes.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let contents = parts.concat();
        [&[tag, contents.len() as u8], &contents[..]].concat()
    }

    #[test]
    fn parameters_of_pkcs8() {
        const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
        const EC: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        let elliptic = |outer: &[u8], inner: Option<&[u8]>| {
            let inner = inner.map(|curve| der(0xa0, &[curve])).unwrap_or_default();
            let key = der(0x30, &[&[2, 1, 1], &der(4, &[&[7; 32]]), &inner]);
            let algorithm = der(0x30, &[EC, outer]);
            let whole = der(0x30, &[&[2, 1, 0], &algorithm, &der(4, &[&key])]);
            let text = Base64::encode_string(&whole);
            read("pkcs8", Algorithm::EcdsaP256, &text).is_ok()
        };
        assert!(elliptic(P256, None));
        assert!(elliptic(P256, Some(P256)));
        assert!(!elliptic(P256, Some(P384)));
        assert!(!elliptic(P384, Some(P256)));
        for (algorithm, last) in [(Algorithm::Ed25519, 0x70), (Algorithm::X25519, 0x6e)] {
            let bare = |parameters: &[u8]| {
                let key = der(4, &[&der(4, &[&[7; 32]])]);
                let algorithm_of = der(0x30, &[&[6, 3, 0x2b, 0x65, last], parameters]);
                let text = Base64::encode_string(&der(0x30, &[&[2, 1, 0], &algorithm_of, &key]));
                read("pkcs8", algorithm, &text).is_ok()
            };
            assert!(bare(&[]));
            assert!(!bare(&[5, 0]));
            assert!(!bare(P256));
        }
    }

    #[test]
    fn what_is_malformed() {
        for (format, algorithm, data) in [
            ("raw", Algorithm::AesGcm, "00"),
            ("raw", Algorithm::Ed25519, "zz"),
            ("raw", Algorithm::HmacSha256, ""),
            ("public", Algorithm::HmacSha256, "00"),
            ("public", Algorithm::EcdsaP256, &"02".repeat(65)),
            ("public", Algorithm::X25519, &"02".repeat(32)),
            ("pem", Algorithm::Ed25519, ""),
            ("pkcs8", Algorithm::Ed25519, "AAAA"),
            ("pkcs8", Algorithm::Ed25519, "*"),
            (
                "pkcs8",
                Algorithm::HmacSha256,
                "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC",
            ),
            ("jwk", Algorithm::HmacSha256, "{"),
            ("jwk", Algorithm::HmacSha256, r#"{"kty":"oct"}"#),
            ("jwk", Algorithm::HmacSha256, r#"{"kty":"oct","k":"+/"}"#),
            ("jwk", Algorithm::HmacSha256, "[]"),
        ] {
            let outcome = read(format, algorithm, data);
            assert_eq!(
                outcome.err().map(|failure| failure.errno),
                Some(Errno::Inval),
                "{format} {data}"
            );
        }
    }
}
