//! `hash/…`: digests, computed where the bytes are.

use capfs::account::Account;
use capfs::device::synthetic::{SyntheticBuilder, SyntheticDir};
use capfs::{Errno, MaybeSend, Op};
use sha2::digest::{Digest, FixedOutputReset};
use sha2::{Sha256, Sha384, Sha512};

use crate::exchange::{self, Exchange};
use crate::hex;

/// The directory.
pub(super) fn directory(account: &Account) -> SyntheticBuilder {
    SyntheticDir::charged(account)
        .node("sha256", exchange::node(account, Hash::<Sha256>::new))
        .node("sha384", exchange::node(account, Hash::<Sha384>::new))
        .node("sha512", exchange::node(account, Hash::<Sha512>::new))
}

struct Hash<D>(D);

impl<D: Digest> Hash<D> {
    fn new() -> Self {
        Hash(D::new())
    }
}

impl<D: Digest + FixedOutputReset + MaybeSend + 'static> Exchange for Hash<D> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        Digest::update(&mut self.0, bytes);
        Ok(())
    }

    fn answer(&mut self) -> Op<Vec<u8>> {
        let digest = Digest::finalize_reset(&mut self.0);
        Op::ok((hex::encode(&digest) + "\n").into_bytes())
    }
}
