//! Signatures of BIP 340, which the Web Crypto API lacks: the one algorithm that is computed here for every host.

use capfs::Errno;
use k256::schnorr::{Signature, SigningKey, VerifyingKey};

use super::host::Failure;

/// A secret key. It is wiped when it is dropped.
pub struct SchnorrSecret(SigningKey);

/// A public key: an x coordinate on the curve.
#[derive(Clone)]
pub struct SchnorrPublic(VerifyingKey);

impl SchnorrSecret {
    /// A secret of 32 bytes, big-endian.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: not 32 bytes, zero, or not below the curve's order
    pub fn new(bytes: &[u8]) -> Result<Self, Failure> {
        let key = SigningKey::from_slice(bytes).map(SchnorrSecret);
        key.map_err(|_| Failure::new(Errno::Inval, "not a secret of secp256k1"))
    }

    /// Its public key.
    pub fn public(&self) -> SchnorrPublic {
        SchnorrPublic(*self.0.verifying_key())
    }

    /// Signs a message of any length.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the nonce came out as zero, which has never been seen
    pub fn sign(&self, message: &[u8], auxiliary: &[u8; 32]) -> Result<Vec<u8>, Failure> {
        let signature = self.0.sign_raw(message, auxiliary);
        let signature = signature.map_err(|_| Failure::new(Errno::Io, "no usable nonce"))?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl SchnorrPublic {
    /// A public key of 32 bytes.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: not 32 bytes, or no point has this coordinate
    pub fn new(bytes: &[u8]) -> Result<Self, Failure> {
        let key = VerifyingKey::from_slice(bytes).map(SchnorrPublic);
        key.map_err(|_| Failure::new(Errno::Inval, "not a public key of secp256k1"))
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Whether a signature is valid; one that can't be read is not.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        // k256 takes it for granted that there are 64 bytes.
        signature.len() == 64
            && Signature::try_from(signature)
                .is_ok_and(|signature| self.0.verify_raw(message, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// The BIP's own vectors (see the file's neighbour for their source).
    const VECTORS: &str = include_str!("test-data/bip-0340-test-vectors.csv");

    #[test]
    fn vectors_of_the_bip() {
        let mut signed = 0;
        let mut checked = 0;
        for line in VECTORS.lines().skip(1) {
            let mut fields = line.splitn(8, ',');
            let mut next = || fields.next().unwrap();
            let index = next();
            let (secret, public, auxiliary) = (next(), next(), next());
            let (message, signature) = (next(), next());
            let valid = next() == "TRUE";
            let bytes = |text: &str| hex::decode(text).unwrap();
            let (message, signature) = (bytes(message), bytes(signature));
            let key = SchnorrPublic::new(&bytes(public));
            let verified = key.is_ok_and(|key| key.verify(&message, &signature));
            assert_eq!(verified, valid, "{index}");
            checked += 1;
            if !secret.is_empty() {
                let secret = SchnorrSecret::new(&bytes(secret)).unwrap();
                assert_eq!(secret.public().to_bytes(), bytes(public), "{index}");
                let auxiliary = bytes(auxiliary).try_into().unwrap();
                assert_eq!(secret.sign(&message, &auxiliary), Ok(signature), "{index}");
                signed += 1;
            }
        }
        assert_eq!((signed, checked), (8, 19));
    }

    #[test]
    fn signatures_of_other_lengths_are_invalid() {
        let public = SchnorrSecret::new(&[1; 32]).unwrap().public();
        for length in [0, 1, 31, 32, 63, 65, 128] {
            assert!(!public.verify(b"m", &vec![1; length]));
        }
    }

    #[test]
    fn what_is_no_key() {
        for bad in [&[0; 32][..], &[0xff; 32], &[1; 31], &[]] {
            assert!(SchnorrSecret::new(bad).is_err());
            assert!(SchnorrPublic::new(bad).is_err());
        }
    }
}
