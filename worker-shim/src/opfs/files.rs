//! Files of the origin's private file system, by synchronous access handles.
//!
//! See <https://fs.spec.whatwg.org/#api-filesystemsyncaccesshandle>. A handle is exclusive: while one is open, opening
//! another fails, in this worker and in any other of the origin. So who has the first file of a volume has the volume.

use capfs::{Errno, Op};
use capfs_storage::{BlockFile, BlockFiles, Opener, ReadBack, StorageError};
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle,
    StorageManager, WorkerGlobalScope,
};

use super::BLOCKED;

/// The directory of the origin's private file system that capfs keeps to.
const HOME: &str = "capfs";

/// The files of a volume. The first is opened first, and decides who has the volume.
const NAMES: [&str; 3] = ["index-0", "index-1", "data"];

/// The volume in one directory.
pub(super) struct PrivateFiles {
    path: Vec<String>,
}

impl PrivateFiles {
    /// The volume in `directory`, whose components are separated by `/`.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: not a path, one that leads out, or one with `\`, which some browsers have in no name
    pub fn new(directory: &str) -> Result<Self, StorageError> {
        if directory.contains('\\') {
            return Err(StorageError::Host(Errno::Inval));
        }
        let names = directory.split('/').filter(|name| !name.is_empty());
        let path: Result<Vec<_>, _> = names
            .map(|name| capfs::Name::new(name).map(|name| name.as_str().to_owned()))
            .collect();
        Ok(PrivateFiles { path: path? })
    }
}

impl Opener for PrivateFiles {
    fn open(&self) -> Op<BlockFiles> {
        if BLOCKED.get() {
            // The attempt before the agent's start has found them in use. Another would never end.
            return Op::err(Errno::Busy);
        }
        let path = self.path.clone();
        Op::later(async move { open(&path).await.map_err(|error| errno(&error)) })
    }
}

async fn open(path: &[String]) -> Result<BlockFiles, JsValue> {
    let Some(storage) = storage() else {
        return Err(JsValue::from_str(Errno::Notsup.name()));
    };
    let mut directory: FileSystemDirectoryHandle = settled(storage.get_directory()).await?;
    let making = FileSystemGetDirectoryOptions::new();
    making.set_create(true);
    for name in std::iter::once(HOME).chain(path.iter().map(String::as_str)) {
        let next = directory.get_directory_handle_with_options(name, &making);
        directory = settled(next).await?;
    }
    let making = FileSystemGetFileOptions::new();
    making.set_create(true);
    // Opening takes milliseconds, so the steps that don't depend on each other go side by side.
    let found = NAMES.map(|name| directory.get_file_handle_with_options(name, &making));
    let [first, second, data] = found;
    let first: FileSystemFileHandle = settled(first).await?;
    let first = Handle::open(first.create_sync_access_handle()).await?;
    let second: FileSystemFileHandle = settled(second).await?;
    let data: FileSystemFileHandle = settled(data).await?;
    let (second, data) = (
        second.create_sync_access_handle(),
        data.create_sync_access_handle(),
    );
    let (second, data) = (Handle::open(second).await, Handle::open(data).await);
    Ok(BlockFiles {
        data: believed(data?),
        index: [believed(first), believed(second?)],
    })
}

/// A file as a volume may have it: what an engine is known to lose is read back.
fn believed(handle: Handle) -> Box<dyn BlockFile> {
    match loses_writes() {
        true => Box::new(ReadBack::new(handle)),
        false => Box::new(handle),
    }
}

/// Whether the engine takes writes for which there is no room, and says nothing of it: Firefox does.
fn loses_writes() -> bool {
    let Ok(scope) = js_sys::global().dyn_into::<WorkerGlobalScope>() else {
        return false;
    };
    let agent = scope.navigator().user_agent();
    // Others are "like Gecko".
    agent.is_ok_and(|agent| agent.contains("Gecko/"))
}

/// The worker's storage, where it has a private file system.
fn storage() -> Option<StorageManager> {
    let scope: WorkerGlobalScope = js_sys::global().dyn_into().ok()?;
    let storage = Reflect::get(&scope.navigator(), &"storage".into()).ok()?;
    let method = Reflect::get(&storage, &"getDirectory".into()).ok()?;
    method
        .is_instance_of::<Function>()
        .then(|| storage.unchecked_into())
}

/// What a promise of the platform resolves to.
async fn settled<T: JsCast>(promise: Promise) -> Result<T, JsValue> {
    Ok(promise.await?.unchecked_into())
}

/// An exception of the platform, as an errno.
fn errno(error: &JsValue) -> Errno {
    if error.as_string().as_deref() == Some(Errno::Notsup.name()) {
        return Errno::Notsup;
    }
    let name = Reflect::get(error, &"name".into()).ok();
    match name.and_then(|name| name.as_string()).as_deref() {
        Some("NoModificationAllowedError") => Errno::Busy,
        // Firefox has the second, for a quota and a disk that are full.
        Some("QuotaExceededError" | "NS_ERROR_FILE_NO_DEVICE_SPACE") => Errno::Nospc,
        Some("NotAllowedError" | "SecurityError") => Errno::Acces,
        Some("NotSupportedError") => Errno::Notsup,
        Some("TypeMismatchError") => Errno::Exist,
        _ => Errno::Io,
    }
}

fn failed(error: JsValue) -> Errno {
    errno(&error)
}

/// An open file. Offsets and sizes are below 2^53, since a volume's files are.
struct Handle {
    handle: FileSystemSyncAccessHandle,
    at: FileSystemReadWriteOptions,
}

impl Handle {
    async fn open(promise: Promise) -> Result<Handle, JsValue> {
        Ok(Handle {
            handle: settled(promise).await?,
            at: FileSystemReadWriteOptions::new(),
        })
    }
}

impl BlockFile for Handle {
    fn size(&self) -> Result<u64, Errno> {
        self.handle
            .get_size()
            .map(|size| size as u64)
            .map_err(failed)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.at.set_at(offset as f64);
        let count = self.handle.read_with_u8_array_and_options(into, &self.at);
        count.map(|count| count as usize).map_err(failed)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.at.set_at(offset as f64);
        let count = self.handle.write_with_u8_array_and_options(bytes, &self.at);
        match count.map_err(failed)? as usize {
            count if count == bytes.len() => Ok(()),
            // Some engines write what fits, or nothing.
            _ => Err(Errno::Nospc),
        }
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.handle.truncate_with_f64(size as f64).map_err(failed)
    }

    fn flush(&self) -> Result<(), Errno> {
        self.handle.flush().map_err(failed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.handle.close();
    }
}
