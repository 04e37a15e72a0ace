//! The capabilities of `capfs-devices` on an operating system: what each does outside of its tree.
//!
//! A crate of its own, so that devices are built and tested without an engine.
#![forbid(unsafe_code)]

mod random;

use std::sync::Arc;

use capfs::NodeRef;
use capfs_devices::grant::{DeviceKind, Grant};
use capfs_devices::random as random_device;

/// What this machine has, for any number of agents.
#[derive(Default)]
pub struct Host {}

impl Host {
    /// Makes the device that a grant names, on its terms.
    ///
    /// # Errors
    /// A message that says what is wrong with the grant, or what this host lacks.
    pub fn device(&self, grant: &Grant) -> Result<NodeRef, String> {
        match grant.device {
            DeviceKind::Random => {
                grant.no_terms().map_err(|error| error.to_string())?;
                Ok(random_device::device(Arc::new(random::SystemEntropy)))
            }
            kind => Err(format!("this host has no device `{}`", kind.name())),
        }
    }
}
