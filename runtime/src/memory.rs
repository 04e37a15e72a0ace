//! The guest's memory, as hosts hand it to a call.

use capfs::Errno;

/// The linear memory of a guest: little-endian, 32-bit addresses.
///
/// Natively it is the slice of bytes that the engine owns ([`impl for [u8]`](trait.GuestMemory.html));
/// in a browser it is another WebAssembly memory, which the kernel reaches through the adapter.
/// Everything is checked here: an address is a number that a guest made up until a method has
/// returned `Ok` for it.
///
/// # Errors
/// Every method fails with [`Errno::Fault`] when any byte of its range is outside of the memory, and
/// then has changed nothing.
pub trait GuestMemory {
    /// Checks that `len` bytes at `addr` are inside the memory. A memory never shrinks, so what was
    /// inside once stays inside.
    fn check(&mut self, addr: u32, len: u32) -> Result<(), Errno>;

    /// Copies the guest's bytes at `addr` into `into`.
    fn read(&mut self, addr: u32, into: &mut [u8]) -> Result<(), Errno>;

    /// Copies `bytes` to the guest's `addr`.
    fn write(&mut self, addr: u32, bytes: &[u8]) -> Result<(), Errno>;

    /// The guest's bytes themselves, where its memory is in the host's address space; `None` elsewhere.
    ///
    /// It saves a device that hands bytes on to an operating system one copy.
    fn slice(&mut self, addr: u32, len: usize) -> Option<&mut [u8]> {
        let _ = (addr, len);
        None
    }

    /// Reads a `u32`.
    fn read_u32(&mut self, addr: u32) -> Result<u32, Errno> {
        let mut bytes = [0; 4];
        self.read(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a `u64`.
    fn read_u64(&mut self, addr: u32) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        self.read(addr, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a `u32`.
    fn write_u32(&mut self, addr: u32, value: u32) -> Result<(), Errno> {
        self.write(addr, &value.to_le_bytes())
    }

    /// Writes a `u64`.
    fn write_u64(&mut self, addr: u32, value: u64) -> Result<(), Errno> {
        self.write(addr, &value.to_le_bytes())
    }
}

impl GuestMemory for [u8] {
    fn check(&mut self, addr: u32, len: u32) -> Result<(), Errno> {
        range(self.len(), addr, len as usize).map(|_| ())
    }

    fn read(&mut self, addr: u32, into: &mut [u8]) -> Result<(), Errno> {
        into.copy_from_slice(&self[range(self.len(), addr, into.len())?]);
        Ok(())
    }

    fn write(&mut self, addr: u32, bytes: &[u8]) -> Result<(), Errno> {
        let range = range(self.len(), addr, bytes.len())?;
        self[range].copy_from_slice(bytes);
        Ok(())
    }

    fn slice(&mut self, addr: u32, len: usize) -> Option<&mut [u8]> {
        let range = range(self.len(), addr, len).ok()?;
        Some(&mut self[range])
    }
}

fn range(size: usize, addr: u32, len: usize) -> Result<std::ops::Range<usize>, Errno> {
    let start = addr as usize;
    match start.checked_add(len) {
        Some(end) if end <= size => Ok(start..end),
        _ => Err(Errno::Fault),
    }
}
