//! `hash/…`: digests, computed where the bytes are.

use capfs::account::{Account, Charge, Holding};
use capfs::device::Device;
use capfs::device::synthetic::SyntheticBuilder;
use capfs::{Errno, MaybeSend, NodeRef, Op};
use sha2::digest::{Digest, FixedOutputReset};
use sha2::{Sha256, Sha384, Sha512};

use crate::exchange::{self, Exchange};
use crate::hex;

/// The directory.
pub(super) fn directory(device: &Device) -> SyntheticBuilder {
    device
        .directory()
        .node("sha256", node::<Sha256>(device))
        .node("sha384", node::<Sha384>(device))
        .node("sha512", node::<Sha512>(device))
}

fn node<D: Digest + FixedOutputReset + MaybeSend + 'static>(device: &Device) -> NodeRef {
    let account = device.account().clone();
    exchange::node(device, move || Hash {
        digest: D::new(),
        account: account.clone(),
    })
}

struct Hash<D> {
    digest: D,
    account: Account,
}

impl<D: Digest + FixedOutputReset + MaybeSend + 'static> Exchange for Hash<D> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        Digest::update(&mut self.digest, bytes);
        Ok(())
    }

    fn answer(&mut self) -> Op<(Vec<u8>, Charge)> {
        let digest = Digest::finalize_reset(&mut self.digest);
        // Two digits for each byte, and the end of the line.
        let length = 2 * digest.len() + 1;
        let charge = self.account.charge(Holding::Descriptors, length as u64);
        let answer = |charge| ((hex::encode(&digest) + "\n").into_bytes(), charge);
        charge.map(answer).into()
    }
}
