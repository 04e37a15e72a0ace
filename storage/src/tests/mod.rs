//! The volume on a host that loses what was not flushed, runs out of room, and spoils what it was given.

mod behaviour;
mod crash;
mod damage;
mod disk;
mod tree;

use std::sync::Arc;

use capfs::testkit::ManualClock;

use crate::{StorageOptions, Volume};
use disk::Disk;

/// A volume on `disk`, and its clock.
fn volume_with(disk: &Disk, options: StorageOptions) -> (Volume, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1));
    (Volume::new(disk.clone(), clock.clone(), options), clock)
}

fn volume(disk: &Disk) -> Volume {
    volume_with(disk, StorageOptions::default()).0
}
