//! Devices of a kernel, and where they are mounted.

use std::task::{Context, Poll, Waker};

use capfs::device::archive::Archive;
use capfs::device::gate::Gate;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::{null, zero};
use capfs::{BindFlags, DeviceId, Errno, FileKind, Mounted, Namespace, NodeRef, Rights};
use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::requests::relative;
use super::{coded, machine, named};
use crate::files;
use crate::machine::{Machine, Made, ToMount, account};
use crate::remote::client;
#[cfg(feature = "capabilities")]
use crate::{devices, grants};

pub fn add_device(machine: &mut Machine, kind: &'static str, root: NodeRef) -> u32 {
    let id = None;
    machine.devices.push(Made { kind, id, root });
    machine.devices.len() as u32 - 1
}

/// Makes a memory file system for up to `bytes` bytes and returns its handle.
#[wasm_bindgen]
pub fn memory_device(bytes: f64) -> Result<u32, JsValue> {
    machine(|machine| {
        let limits = MemoryLimits {
            bytes: bytes as u64,
            ..MemoryLimits::default()
        };
        let files = MemoryFs::charged(machine.clock.clone(), limits, &account());
        Ok(add_device(machine, "memory", files.root()))
    })
}

/// Makes an archive device of a tar, which the agent's account is charged for, and returns its handle.
#[wasm_bindgen]
pub fn archive_device(tar: Vec<u8>) -> Result<u32, JsValue> {
    let archive =
        Archive::held(tar, &account()).map_err(|error| JsValue::from_str(&error.to_string()))?;
    machine(|machine| Ok(add_device(machine, "archive", archive.root())))
}

/// Makes the null device and returns its handle.
#[wasm_bindgen]
pub fn null_device() -> Result<u32, JsValue> {
    machine(|machine| Ok(add_device(machine, "null", null::Null::node())))
}

/// Makes the zero device and returns its handle.
#[wasm_bindgen]
pub fn zero_device() -> Result<u32, JsValue> {
    machine(|machine| Ok(add_device(machine, "zero", zero::Zero::node())))
}

/// Makes `task` for the page itself and returns its handle.
///
/// # Errors
/// A sentence that says what is wrong with the terms.
#[cfg(feature = "capabilities")]
#[wasm_bindgen]
pub fn task_device(terms: Vec<String>, host: devices::web::task::JsTasks) -> Result<u32, JsValue> {
    let root = devices::web::task::tasks(&grants::parse("task", terms)?, host)?;
    machine(|machine| Ok(add_device(machine, "task", root)))
}

/// Makes a device that is a tree of another kernel, from `path` on, and returns its handle: the tree with the
/// number `tree` there, or 0, that kernel's namespace. `post(bytes)` sends the requests to this peer.
#[wasm_bindgen]
pub fn remote_device(peer: u32, tree: u32, path: &str, post: Function) -> Result<u32, JsValue> {
    let root = client::attach(peer, tree, FileKind::Directory, path, post).map_err(named)?;
    machine(|machine| Ok(add_device(machine, "shared", root)))
}

/// Puts a file into a device before it is mounted, whatever rights the mount will have.
#[wasm_bindgen]
pub fn device_write(device: u32, path: &str, bytes: Vec<u8>) -> Result<(), JsValue> {
    let root = machine(|machine| {
        machine
            .devices
            .get(device as usize)
            .map(|made| made.root.clone())
            .ok_or_else(|| named(Errno::Nodev))
    })?;
    let mut namespace = Namespace::new();
    namespace
        .mount(root, "/", Rights::RW, BindFlags::REPLACE.creating())
        .map_err(named)?;
    let mut writing = Box::pin(files::write(namespace, relative(path), bytes));
    match writing
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => result.map_err(named),
        Poll::Pending => Err(named(Errno::Again)),
    }
}

/// Has a device mounted at an absolute path, by [`mount_all`]. What is `revocable` has a gate in front of it; see [`revoke`].
#[wasm_bindgen]
pub fn mount(device: u32, at: &str, writable: bool, revocable: bool) -> Result<(), JsValue> {
    machine(|machine| {
        let made = machine.devices.get(device as usize);
        let mut root = made.ok_or_else(|| named(Errno::Nodev))?.root.clone();
        if revocable {
            let (gate, gated) = Gate::new(root, None);
            machine.gates.push((at.to_owned(), gate));
            root = gated;
        }
        let rights = if writable { Rights::RW } else { Rights::RO };
        machine.mounts.push(ToMount {
            at: at.to_owned(),
            device: Some(device),
            root,
            rights,
            granted: None,
        });
        Ok(())
    })
}

/// Mounts what was granted and what [`mount`] was given since, as [`Namespace::mount_all`] does: what was granted is searched first.
/// Devices are named for what they are and where they are mounted first, as `memory:/tmp`.
///
/// # Errors
/// What can't be mounted, as [`coded`] has it: `GRANT_INVALID` for something that was granted, or else `OPTION_INVALID`.
#[wasm_bindgen]
pub fn mount_all() -> Result<(), JsValue> {
    machine(|machine| {
        let asked = std::mem::take(&mut machine.mounts);
        let failed = |(index, errno): (usize, Errno)| {
            let ToMount { at, granted, .. } = &asked[index];
            let why = format!("can't mount anything at `{at}`: {errno}");
            match granted {
                Some(device) => coded("GRANT_INVALID", &format!("{device}: {why}")),
                None => coded("OPTION_INVALID", &why),
            }
        };
        let mut mounts: Vec<Mounted> = Vec::new();
        for (index, asked) in asked.iter().enumerate() {
            let mut made = asked
                .device
                .map(|device| &mut machine.devices[device as usize]);
            let known = made.as_ref().and_then(|made| made.id.clone());
            let named = known.map_or_else(
                || {
                    let kind = made.as_ref().map(|made| made.kind).or(asked.granted);
                    let id = DeviceId::new(&[kind.unwrap_or_default(), &asked.at].join(":"))?;
                    let earlier = machine.namespace.list().devices();
                    let taken = mounts.iter().map(|mounted| &mounted.device).chain(earlier);
                    id.distinct(|id| taken.clone().any(|known| known == id))
                },
                Ok,
            );
            let device = named.map_err(|errno| failed((index, errno)))?;
            if let Some(made) = &mut made {
                made.id = Some(device.clone());
            }
            mounts.push(Mounted {
                at: asked.at.clone(),
                device,
                root: asked.root.clone(),
                rights: asked.rights,
            });
        }
        machine.namespace.mount_all(&mounts).map_err(failed)
    })
}
