//! The table of WASI calls as imports.

use std::task::{Context, Poll};
use std::time::Duration;

use capfs::Errno;
use capfs::clock::Clock;
use capfs_runtime::abi::{self, PREVIEW1_MODULE, Param, UNSTABLE_MODULE};
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
/// - [`ModuleError::UnknownImports`]: imports from other modules, all of them named
pub fn linker(module: &Module, path: &str) -> Result<Linker<Guest>, ModuleError> {
    let mut linker = Linker::new(module.engine());
    linker.allow_shadowing(true);
    define(&mut linker).map_err(|error| ModuleError::Invalid {
        path: path.to_owned(),
        reason: format!("{error:#}"),
    })?;
    let mut unknown = Vec::new();
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        let ExternType::Func(ty) = import.ty() else {
            unknown.push(format!("{from}.{name}"));
            continue;
        };
        match answer(from, name, ty.params().map(param), ty.results().map(param)) {
            Answer::Provided => {}
            Answer::Nosys => {
                let missing = format!("{from}.{name}");
                let defined = linker.func_new(from, name, ty.clone(), move |_, _, results| {
                    unsupported(&ty, results, &missing)
                });
                if defined.is_err() {
                    unknown.push(format!("{from}.{name}"));
                }
            }
            Answer::OtherType => unknown.push(format!("{from}.{name} of another type")),
            Answer::Missing => unknown.push(format!("{from}.{name}")),
        }
    }
    match unknown.is_empty() {
        true => Ok(linker),
        false => Err(ModuleError::UnknownImports {
            path: path.to_owned(),
            imports: unknown,
        }),
    }
}

/// Whether an import module is one of WASI's.
pub fn is_wasi(module: &str) -> bool {
    matches!(module, PREVIEW1_MODULE | UNSTABLE_MODULE)
}

/// How a function that a module imports is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By the call.
    Provided,
    /// By `ENOSYS`: an extension, or an older draft, that programs can do without.
    Nosys,
    /// Not at all: the call of this name has another type.
    OtherType,
    /// Not at all: it is none of WASI's.
    Missing,
}

/// How a function is answered. Types are `None` where no call has such a parameter or result.
pub fn answer(
    from: &str,
    name: &str,
    params: impl Iterator<Item = Option<Param>>,
    results: impl Iterator<Item = Option<Param>>,
) -> Answer {
    const EXIT: (&[Param], &[Param]) = (&[Param::I32], &[]);
    if !is_wasi(from) {
        return Answer::Missing;
    }
    let old = abi::UNSTABLE
        .iter()
        .find(|call| from == UNSTABLE_MODULE && call.name.strip_prefix("unstable_") == Some(name));
    let call = old.or_else(|| abi::PREVIEW1.iter().find(|call| call.name == name));
    let call = call.map(|call| (call.params, &[Param::I32][..]));
    let Some(call) = call.or((name == "proc_exit").then_some(EXIT)) else {
        return Answer::Nosys;
    };
    let all = |types: &'static [Param]| types.iter().copied().map(Some);
    match params.eq(all(call.0)) && results.eq(all(call.1)) {
        true => Answer::Provided,
        // WasmEdge's is that of an older draft.
        false if name == "sock_accept" => Answer::Nosys,
        false => Answer::OtherType,
    }
}

fn param(ty: ValType) -> Option<Param> {
    match ty {
        ValType::I32 => Some(Param::I32),
        ValType::I64 => Some(Param::I64),
        _ => None,
    }
}

fn unsupported(ty: &FuncType, results: &mut [Val], name: &str) -> wasmtime::Result<()> {
    match (ty.result(0), results) {
        (None, _) => Ok(()),
        (Some(ValType::I32), [result]) => {
            *result = Val::I32(i32::from(Errno::Nosys.code()));
            Ok(())
        }
        _ => Err(wasmtime::Error::msg(format!(
            "`{name}` is not provided by this host"
        ))),
    }
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
        None => exported_memory(caller)?,
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
            Poll::Pending => wait(&guest.parker, guest.process.deadline())?,
        }
    }
}

/// The memory of a guest that calls before it has been instantiated (from its start function).
#[cold]
fn exported_memory(caller: &mut Caller<'_, Guest>) -> wasmtime::Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => {
            caller.data_mut().memory = Some(memory);
            Ok(memory)
        }
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
