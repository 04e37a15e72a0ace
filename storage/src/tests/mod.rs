//! The volume on a host that loses what was not flushed, runs out of room, and spoils what it was given.

mod behaviour;
mod check;
#[cfg(feature = "durable")]
mod checkpoints;
mod crash;
mod damage;
pub(crate) mod disk;
mod tree;

use std::sync::Arc;

use capfs::testkit::ManualClock;

use crate::limits::Geometry;
use crate::{StorageOptions, Volume};
use disk::Disk;

/// A volume on `disk`, and its clock.
fn volume_of(
    disk: &Disk,
    options: StorageOptions,
    geometry: Geometry,
) -> (Volume, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1));
    let volume = Volume::with_geometry(disk.clone(), clock.clone(), options, geometry);
    (volume, clock)
}

/// A small one.
fn volume_with(disk: &Disk, options: StorageOptions) -> (Volume, Arc<ManualClock>) {
    volume_of(disk, options, Geometry::SMALL)
}

fn volume(disk: &Disk) -> Volume {
    volume_with(disk, StorageOptions::default()).0
}
