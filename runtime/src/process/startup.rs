//! Arguments and environment.

use capfs::Errno;
use std::task::{Context, Poll};

use super::{ConfigError, Process};
use crate::GuestMemory;

pub(super) fn checked_args(args: Vec<String>) -> Result<Vec<String>, ConfigError> {
    match args.iter().position(|arg| arg.contains('\0')) {
        Some(index) => Err(ConfigError::Nul {
            what: format!("argument {index}"),
        }),
        None => Ok(args),
    }
}

/// Makes `NAME=VALUE` strings.
pub(super) fn checked_env(env: Vec<(String, String)>) -> Result<Vec<String>, ConfigError> {
    env.into_iter()
        .map(|(name, value)| {
            if name.is_empty() || name.contains('=') {
                return Err(ConfigError::EnvName { name });
            }
            if name.contains('\0') || value.contains('\0') {
                return Err(ConfigError::Nul {
                    what: format!("environment variable `{name}`"),
                });
            }
            Ok(format!("{name}={value}"))
        })
        .collect()
}

/// Bytes of `strings` with a NUL behind each.
fn total(strings: &[String]) -> Result<u32, Errno> {
    let bytes: usize = strings.iter().map(|string| string.len() + 1).sum();
    u32::try_from(bytes).map_err(|_| Errno::Overflow)
}

fn store_sizes<M: GuestMemory + ?Sized>(
    memory: &mut M,
    strings: &[String],
    count: u32,
    size: u32,
) -> Result<(), Errno> {
    memory.check(size, 4)?;
    memory.write_u32(count, strings.len() as u32)?;
    memory.write_u32(size, total(strings)?)
}

fn store_strings<M: GuestMemory + ?Sized>(
    memory: &mut M,
    strings: &[String],
    pointers: u32,
    buffer: u32,
) -> Result<(), Errno> {
    let pointers_len = u32::try_from(strings.len() * 4).map_err(|_| Errno::Overflow)?;
    memory.check(pointers, pointers_len)?;
    memory.check(buffer, total(strings)?)?;
    let mut at = buffer;
    for (index, string) in strings.iter().enumerate() {
        memory.write_u32(pointers + index as u32 * 4, at)?;
        memory.write(at, string.as_bytes())?;
        // The end of the buffer may be the end of a memory of 4 GiB.
        memory.write(at.wrapping_add(string.len() as u32), &[0])?;
        at = at.wrapping_add(string.len() as u32 + 1);
    }
    Ok(())
}

impl Process {
    /// `args_get`: pointers to the arguments, and the arguments.
    pub fn args_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        argv: u32,
        argv_buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        Poll::Ready(store_strings(memory, &self.args, argv, argv_buf))
    }

    /// `args_sizes_get`: how many arguments, and bytes of them all.
    pub fn args_sizes_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        argc: u32,
        argv_buf_size: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        Poll::Ready(store_sizes(memory, &self.args, argc, argv_buf_size))
    }

    /// `environ_get`: pointers to the variables, and the variables.
    pub fn environ_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        environ: u32,
        environ_buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        Poll::Ready(store_strings(memory, &self.env, environ, environ_buf))
    }

    /// `environ_sizes_get`: how many variables, and bytes of them all.
    pub fn environ_sizes_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        environc: u32,
        environ_buf_size: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        Poll::Ready(store_sizes(memory, &self.env, environc, environ_buf_size))
    }
}
