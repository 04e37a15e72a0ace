//! The table of WASI calls as imports.

use std::task::{Context, Poll};
use std::time::Duration;

use capfs::Errno;
use capfs::clock::Clock;
use capfs_modules::{Answer, Refusal, answer, shown};
use capfs_runtime::abi::{PREVIEW1_MODULE, Param, UNSTABLE_MODULE};
use capfs_runtime::{ExitStatus, Process, calls};
use wasmtime::{Caller, Extern, ExternType, FuncType, Linker, Memory, Module, Val, ValType};

use crate::clock::SystemClock;
use crate::engine::ModuleError;
use crate::limits::Limits;
use crate::wait::{Cancelled, Parker};

/// What a store holds: the agent's side of the host.
pub struct Guest {
    /// The agent's descriptors, files and calls.
    pub process: Process,
    /// How it waits.
    pub parker: Parker,
    /// What it may grow to.
    pub limits: Limits,
    /// Its memory, once it is known.
    pub memory: Option<Memory>,
}

/// Why a guest's stack was unwound by a call.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It ended itself.
    #[error("the program has exited")]
    Exited(ExitStatus),
    /// It was ended from outside.
    #[error("the program was ended from outside")]
    Cancelled(Cancelled),
}

/// A linker with every call of preview 1 and of `wasi_unstable`, and what else the WASI modules of
/// `module` are asked for.
///
/// An extension that some programs import (WasmEdge's sockets, say) is answered with `ENOSYS`, so
/// that programs which can do without it run.
///
/// # Errors
/// [`Refusal::Imports`]: what can't be answered, all of it named
pub fn linker(module: &Module, path: &str) -> Result<Linker<Guest>, ModuleError> {
    linker_with(module, path, define)
}

/// As [`linker`], with the calls that `define` makes.
pub(crate) fn linker_with<T: 'static>(
    module: &Module,
    path: &str,
    define: fn(&mut Linker<T>) -> wasmtime::Result<()>,
) -> Result<Linker<T>, ModuleError> {
    let mut linker = Linker::new(module.engine());
    linker.allow_shadowing(true);
    define(&mut linker).map_err(|error| ModuleError::invalid(path, &error))?;
    let mut unknown = Vec::new();
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        let answered = match import.ty() {
            ExternType::Func(ty) => match answer_for(from, name, &ty) {
                Answer::Nosys => linker
                    .func_new(from, name, ty, |_, _, results| unsupported(results))
                    .is_ok(),
                answered => answered == Answer::Provided,
            },
            _ => false,
        };
        if !answered {
            unknown.push(format!("{}.{}", shown(from), shown(name)));
        }
    }
    match unknown.is_empty() {
        true => Ok(linker),
        false => Err(ModuleError::refused(path, Refusal::Imports(unknown))),
    }
}

/// How a function that a module imports is answered.
pub(crate) fn answer_for(from: &str, name: &str, ty: &FuncType) -> Answer {
    answer(from, name, ty.params().map(param), ty.results().map(param))
}

fn param(ty: ValType) -> Option<Param> {
    match ty {
        ValType::I32 => Some(Param::I32),
        ValType::I64 => Some(Param::I64),
        _ => None,
    }
}

/// The results of a function that no WASI has: none, or an errno.
pub(crate) fn unsupported(results: &mut [Val]) -> wasmtime::Result<()> {
    if let [result] = results {
        *result = Val::I32(i32::from(Errno::Nosys.code()));
    }
    Ok(())
}

macro_rules! define_calls {
    (preview1 { $($name:ident($($arg:ident: $ty:ident),*);)* } unstable { $($old:ident($($oarg:ident: $oty:ident),*);)* }) => {
        fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
            for module in [PREVIEW1_MODULE, UNSTABLE_MODULE] {
                $(linker.func_wrap(
                    module,
                    stringify!($name),
                    |mut caller: Caller<'_, Guest>, $($arg: $ty),*| {
                        call(&mut caller, |process, context, memory| {
                            process.$name(context, memory, $($arg),*)
                        })
                    },
                )?;)*
                linker.func_wrap(module, "proc_exit", exit)?;
            }
            $(linker.func_wrap(
                UNSTABLE_MODULE,
                stringify!($old).trim_start_matches("unstable_"),
                |mut caller: Caller<'_, Guest>, $($oarg: $oty),*| {
                    call(&mut caller, |process, context, memory| {
                        process.$old(context, memory, $($oarg),*)
                    })
                },
            )?;)*
            Ok(())
        }
    };
}
calls!(define_calls);

fn exit(mut caller: Caller<'_, Guest>, code: u32) -> wasmtime::Result<()> {
    caller.data_mut().process.proc_exit(code);
    Err(Ended::Exited(ExitStatus::Code(code)).into())
}

/// Makes one call of the guest's, waiting as often as it takes.
#[inline]
fn call(
    caller: &mut Caller<'_, Guest>,
    mut make: impl FnMut(&mut Process, &mut Context<'_>, &mut [u8]) -> Poll<Result<(), Errno>>,
) -> wasmtime::Result<i32> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => {
            let memory = exported_memory(caller)?;
            caller.data_mut().memory = Some(memory);
            memory
        }
    };
    let (bytes, guest) = memory.data_and_store_mut(&mut *caller);
    let mut context = Context::from_waker(guest.parker.waker());
    loop {
        match make(&mut guest.process, &mut context, bytes) {
            Poll::Ready(Ok(())) => {
                return match guest.process.exit_status() {
                    None => Ok(0),
                    Some(status) => Err(Ended::Exited(status).into()),
                };
            }
            Poll::Ready(Err(errno)) => return Ok(i32::from(errno.code())),
            Poll::Pending => {
                if let Err(ended) = wait(&guest.parker, guest.process.deadline()) {
                    guest.process.cancel();
                    return Err(ended);
                }
            }
        }
    }
}

/// The memory of a guest that calls before it has been instantiated (from its start function).
#[cold]
pub(crate) fn exported_memory<T>(caller: &mut Caller<'_, T>) -> wasmtime::Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(wasmtime::Error::msg("the program exports no memory")),
    }
}

#[cold]
fn wait(parker: &Parker, deadline: Option<u64>) -> wasmtime::Result<()> {
    if let Some(why) = parker.cancelled() {
        return Err(Ended::Cancelled(why).into());
    }
    let left = deadline.map(|at| Duration::from_nanos(at.saturating_sub(SystemClock.monotonic())));
    if left != Some(Duration::ZERO) {
        parker.park(left);
    }
    match parker.cancelled() {
        Some(why) => Err(Ended::Cancelled(why).into()),
        None => Ok(()),
    }
}
