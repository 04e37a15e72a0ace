//! Stored files: a volume of [`capfs_storage`] on the origin's private file system.
//!
//! A volume's files are opened in the worker before the agent starts, or by the first call that needs them where an
//! agent's call can wait for a promise. While it runs, everything answers at once. What was changed is committed when
//! the agent syncs, when it waits, after a second, and at its end; then the files are closed, so that the next agent or
//! another tab can have them.

mod files;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use capfs::clock::Clock;
use capfs::{Errno, NodeRef, Op};
use capfs_devices::grant::Grant;
use capfs_devices::storage::{self, Quota, StorageTerms};
use capfs_storage::{StorageError, StorageOptions, Volume};
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen::prelude::*;

use crate::control::mounts::add_device;
use crate::control::{coded, machine, not_ended};
use files::PrivateFiles;

/// Milliseconds for which a volume is waited for that another has open. A worker that is ended while it
/// computes keeps its files open for 2 s in Chromium.
const HANDOVER_MAX: u32 = 3_000;

/// Milliseconds between two looks.
const HANDOVER_STEP: u32 = 100;

thread_local! {
    static VOLUMES: RefCell<Vec<Volume>> = const { RefCell::new(Vec::new()) };
    /// A call of the agent's can't wait for a promise: its worker is blocked meanwhile.
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Makes the volume that lies in `directory` and opens it. [`opfs_settle`], [`tick`] and [`opfs_release`] look after it from now on.
///
/// # Errors
/// Why it can't be used: another has it open for longer than [`HANDOVER_MAX`], it is damaged, there is no room, or this engine
/// has no private file system; `ECANCELED` where the agent has been ended meanwhile.
async fn volume(
    directory: &str,
    options: StorageOptions,
    clock: Arc<dyn Clock>,
) -> Result<Volume, StorageError> {
    let volume = Volume::new(PrivateFiles::new(directory)?, clock, options);
    let mut waited = 0;
    loop {
        match volume.open().wait().await {
            Ok(()) => break,
            Err(Errno::Busy) if waited < HANDOVER_MAX && not_ended().is_ok() => {
                TimeoutFuture::new(HANDOVER_STEP).await;
                waited += HANDOVER_STEP;
            }
            Err(errno) => return Err(volume.error().unwrap_or(StorageError::Host(errno))),
        }
    }
    if not_ended().is_err() {
        // What is released at an agent's end has been released, and somebody else may want it by now.
        let _ = volume.release();
        return Err(StorageError::Host(Errno::Canceled));
    }
    VOLUMES.with_borrow_mut(|volumes| volumes.push(volume.clone()));
    Ok(volume)
}

/// Why a tree can't be used, as [`coded`] has it.
fn refused(directory: &str, error: &StorageError) -> JsValue {
    let code = match error {
        StorageError::Host(Errno::Inval | Errno::Nametoolong) => "OPTION_INVALID",
        StorageError::Busy | StorageError::Host(Errno::Busy) => "STORAGE_BUSY",
        StorageError::Damaged { .. } | StorageError::TooLong { .. } => "STORAGE_DAMAGED",
        _ => "STORAGE_UNAVAILABLE",
    };
    let why = match error {
        StorageError::Host(Errno::Inval | Errno::Nametoolong) => {
            "no directory can have such a name".to_owned()
        }
        StorageError::Busy | StorageError::Host(Errno::Busy) => format!(
            "{}: once that has ended, or its tab is closed, they can be",
            StorageError::Busy
        ),
        StorageError::Host(Errno::Nospc) => "there is no room for them".to_owned(),
        StorageError::Host(Errno::Acces) => "the browser doesn't allow it here".to_owned(),
        error => error.to_string(),
    };
    let text = format!("the stored files in {directory} can't be used: {why}");
    coded(code, &text)
}

/// What a grant of stored files stands for.
pub struct Granted {
    /// The tree, and what may be done there.
    pub tree: NodeRef,
    /// Everything, or reading alone.
    pub rights: capfs::Rights,
    /// The files beside it, `quota` and `policy`, and where they are.
    pub beside: [(String, NodeRef); 2],
}

/// Makes what a grant of stored files to an agent of this identity stands for.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or why the files can't be used as [`refused`] has it.
pub async fn granted(
    grant: &Grant,
    identity: &str,
    clock: Arc<dyn Clock>,
) -> Result<Granted, JsValue> {
    let terms = StorageTerms::new(grant, identity)
        .map_err(|error| JsValue::from_str(&error.to_string()))?;
    let options = StorageOptions {
        quota: terms.quota,
        repair: terms.repair,
    };
    let volume = volume(&terms.name, options, clock)
        .await
        .map_err(|error| refused(&terms.name, &error))?;
    let measured = volume.clone();
    let beside = storage::files_beside(&grant.at, &terms, move || {
        let measured = measured.clone();
        measured.root().stat().then(move |_| {
            let usage = measured.usage();
            Op::ok(Quota {
                used: usage.used,
                total: usage.total,
            })
        })
    });
    Ok(Granted {
        tree: volume.root(),
        rights: terms.rights,
        beside,
    })
}

fn each(action: impl FnMut(&Volume)) {
    VOLUMES.with_borrow(|volumes| volumes.iter().for_each(action));
}

/// Commits what has waited for long enough; what fails is reported by a sync, or at the end.
pub fn tick() {
    each(Volume::tick);
}

/// Makes the volume in `directory` of the origin's private file system a device and returns its handle.
///
/// # Errors
/// Why it can't be used, as [`refused`] has it.
#[wasm_bindgen]
pub async fn opfs_device(directory: String, quota: f64, repair: bool) -> Result<u32, JsValue> {
    let clock = machine(|machine| Ok(machine.clock.clone()))?;
    let options = StorageOptions {
        quota: quota as u64,
        repair,
    };
    let volume = volume(&directory, options, clock)
        .await
        .map_err(|error| refused(&directory, &error))?;
    machine(|machine| Ok(add_device(machine, "opfs", volume.root())))
}

/// The agent starts; with `blocked`, none of its calls can wait for a promise.
#[wasm_bindgen]
pub fn opfs_start(blocked: bool) {
    BLOCKED.set(blocked);
}

/// The agent waits: commits what it has changed. What fails is tried again.
#[wasm_bindgen]
pub fn opfs_settle() {
    each(|volume| {
        let _ = volume.sync();
    });
}

/// The agent has ended: commits what it has changed and closes the files. Returns why not everything could be
/// stored, if so.
#[wasm_bindgen]
pub fn opfs_release() -> Option<String> {
    BLOCKED.set(false);
    let mut failed = None;
    each(|volume| {
        if let Err(errno) = volume.release() {
            failed = Some(format!(
                "what the agent wrote last could not be stored: {errno}"
            ));
        }
    });
    failed
}
