//! Compiled code that nobody can change any more.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wasmtime::{Engine, Module};

/// A file of no folder (memfd_create(2)), to be written.
///
/// # Errors
/// The system has no room for it.
pub(crate) fn unnamed(name: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(File::from(memfd_create(name, flags)?))
}

/// Code of a module, in a file of no folder that is sealed.
pub(crate) struct SealedCode(File);

impl SealedCode {
    /// Seals an [unnamed] file. It must have been written by the compiler, or be a copy of what was, that was checked.
    ///
    /// # Errors
    /// The system can't seal it: somebody has mapped it to be written, say.
    pub fn new(file: File) -> io::Result<SealedCode> {
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(SealedCode(file))
    }

    /// The module, unless it does not fit into this engine's pool.
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Module> {
        let code = self.0.try_clone()?;
        // SAFETY: it was made by wasmtime in a process of this command, whole, for an engine that compiles as this one does (wasmtime
        // checks that again). It comes from that process, or from `Cache`, which took it out of a folder that nobody else can
        // write and checked it. Its seals keep everybody from changing it for as long as it is there.
        #[expect(unsafe_code, reason = "compiled code can only be loaded this way")]
        let module = unsafe { Module::deserialize_open_file(engine, code) };
        module
    }

    /// The file, to be read.
    pub fn file(&self) -> &File {
        &self.0
    }
}
