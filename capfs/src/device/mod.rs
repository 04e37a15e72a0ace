//! Devices that need no host.
