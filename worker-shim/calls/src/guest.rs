//! The agent's memory, as the kernel reaches it: through functions that the adapter has put into the
//! kernel's own function table. No JavaScript runs between the two.
#![expect(
    unsafe_code,
    reason = "calls through slots of the function table that the adapter fills"
)]

use std::cell::Cell;

use capfs::Errno;
use capfs_runtime::GuestMemory;

/// Bytes in a page of WebAssembly memory.
const PAGE: u64 = 65_536;

/// Bytes up to which a copy goes by value, eight at a time, where the adapter does not see the kernel's
/// memory. Measured in Chromium: a call through the table costs about 4 ns, a copy through JavaScript 60 to 100.
const BY_VALUE_MAX: usize = 128;

thread_local! {
    /// Bytes of the agent's memory when it was measured last.
    static MEASURED: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of the agent's memory, as of the last tick. The memory itself may be gone by now, and can't be asked.
pub fn memory_size() -> u64 {
    MEASURED.get()
}

/// The functions of one adapter. The order of the slots is `MEMORY_SLOTS` in capfs-build's `adapter`.
pub struct Guest {
    load8: extern "C" fn(u32) -> u32,
    load32: extern "C" fn(u32) -> u32,
    load64: extern "C" fn(u32) -> u64,
    store8: extern "C" fn(u32, u32),
    store32: extern "C" fn(u32, u32),
    store64: extern "C" fn(u32, u64),
    copy_in: extern "C" fn(*mut u8, u32, u32),
    copy_out: extern "C" fn(u32, *const u8, u32),
    memory_size: extern "C" fn() -> u32,
    /// Whether the adapter copies between the memories by itself, or asks JavaScript to.
    direct: bool,
    /// Bytes that the memory is known to have. A memory never shrinks, so it is asked again only when
    /// a check fails.
    size: u64,
}

impl Guest {
    /// Takes the functions that the adapter has put into the table from slot `base` on.
    pub fn new(base: u32, direct: bool) -> Self {
        let slot = |index: u32| (base + index) as usize;
        // SAFETY: on wasm32 a function pointer is an index into the module's function table. The host
        // has grown the table by nine slots at `base` and the adapter's element segment fills them with
        // functions of these signatures; calling a slot that holds anything else traps, as the
        // engine checks the signature of every indirect call.
        let mut guest = unsafe {
            use std::mem::transmute;
            Guest {
                load8: transmute::<usize, extern "C" fn(u32) -> u32>(slot(0)),
                load32: transmute::<usize, extern "C" fn(u32) -> u32>(slot(1)),
                load64: transmute::<usize, extern "C" fn(u32) -> u64>(slot(2)),
                store8: transmute::<usize, extern "C" fn(u32, u32)>(slot(3)),
                store32: transmute::<usize, extern "C" fn(u32, u32)>(slot(4)),
                store64: transmute::<usize, extern "C" fn(u32, u64)>(slot(5)),
                copy_in: transmute::<usize, extern "C" fn(*mut u8, u32, u32)>(slot(6)),
                copy_out: transmute::<usize, extern "C" fn(u32, *const u8, u32)>(slot(7)),
                memory_size: transmute::<usize, extern "C" fn() -> u32>(slot(8)),
                direct,
                size: 0,
            }
        };
        guest.measure();
        guest
    }

    /// Bytes of the agent's memory, now.
    pub fn measure(&mut self) -> u64 {
        self.size = u64::from((self.memory_size)()) * PAGE;
        MEASURED.set(self.size);
        self.size
    }

    #[inline]
    fn inside(&mut self, addr: u32, len: u64) -> Result<(), Errno> {
        let end = u64::from(addr) + len;
        if end <= self.size || end <= self.measure() {
            Ok(())
        } else {
            Err(Errno::Fault)
        }
    }
}

impl GuestMemory for Guest {
    #[inline]
    fn check(&mut self, addr: u32, len: u32) -> Result<(), Errno> {
        self.inside(addr, u64::from(len))
    }

    #[inline]
    fn read(&mut self, addr: u32, into: &mut [u8]) -> Result<(), Errno> {
        self.inside(addr, into.len() as u64)?;
        if self.direct || into.len() > BY_VALUE_MAX {
            (self.copy_in)(into.as_mut_ptr(), addr, into.len() as u32);
            return Ok(());
        }
        let (words, rest) = into.as_chunks_mut::<8>();
        let mut at = addr;
        for word in words {
            *word = (self.load64)(at).to_le_bytes();
            at += 8;
        }
        for byte in rest {
            *byte = (self.load8)(at) as u8;
            at += 1;
        }
        Ok(())
    }

    #[inline]
    fn write(&mut self, addr: u32, bytes: &[u8]) -> Result<(), Errno> {
        self.inside(addr, bytes.len() as u64)?;
        if self.direct || bytes.len() > BY_VALUE_MAX {
            (self.copy_out)(addr, bytes.as_ptr(), bytes.len() as u32);
            return Ok(());
        }
        let (words, rest) = bytes.as_chunks::<8>();
        let mut at = addr;
        for word in words {
            (self.store64)(at, u64::from_le_bytes(*word));
            at += 8;
        }
        for byte in rest {
            (self.store8)(at, u32::from(*byte));
            at += 1;
        }
        Ok(())
    }

    #[inline]
    fn read_u32(&mut self, addr: u32) -> Result<u32, Errno> {
        self.inside(addr, 4)?;
        Ok((self.load32)(addr))
    }

    #[inline]
    fn read_u64(&mut self, addr: u32) -> Result<u64, Errno> {
        self.inside(addr, 8)?;
        Ok((self.load64)(addr))
    }

    #[inline]
    fn write_u32(&mut self, addr: u32, value: u32) -> Result<(), Errno> {
        self.inside(addr, 4)?;
        (self.store32)(addr, value);
        Ok(())
    }

    #[inline]
    fn write_u64(&mut self, addr: u32, value: u64) -> Result<(), Errno> {
        self.inside(addr, 8)?;
        (self.store64)(addr, value);
        Ok(())
    }
}
