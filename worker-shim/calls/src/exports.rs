//! The raw exports: one function per WASI call, as the adapter calls them.
#![expect(unsafe_code, reason = "exports without mangled names")]

use std::task::{Context, Poll};

use capfs::Errno;
use capfs_runtime::Process;

use crate::{Guest, Patience, Running, with_running};

/// The call would block: wait and ask again.
const WOULD_BLOCK: i32 = -1;

/// The process has ended: the agent must be trapped.
const ENDED: i32 = -2;

fn enter(
    call: impl FnOnce(&mut Process, &mut Context<'_>, &mut Guest) -> Poll<Result<(), Errno>>,
) -> i32 {
    with_running(
        |Running {
             process,
             guest,
             patience,
             waker,
         }| {
            let Some(guest) = guest else {
                return ENDED;
            };
            let outcome = call(process, &mut Context::from_waker(waker), guest);
            match outcome {
                _ if process.exit_status().is_some() => ENDED,
                Poll::Ready(Ok(())) => 0,
                Poll::Ready(Err(errno)) => i32::from(errno.code()),
                // Where nothing can be waited for but time, waiting for anything else would never end.
                Poll::Pending
                    if *patience == Patience::ClockOnly && process.deadline().is_none() =>
                {
                    match process.cancel() {
                        true => 0,
                        false => i32::from(Errno::Deadlk.code()),
                    }
                }
                Poll::Pending => WOULD_BLOCK,
            }
        },
    )
    .unwrap_or(ENDED)
}

macro_rules! exports {
    (
        preview1 { $($name:ident($($arg:ident: $ty:ident),*);)* }
        unstable { $($old:ident($($old_arg:ident: $old_ty:ident),*);)* }
    ) => {
        $(exports!(@ $name($($arg: $ty),*));)*
        $(exports!(@ $old($($old_arg: $old_ty),*));)*
    };
    (@ $name:ident($($arg:ident: $ty:ident),*)) => {
        // SAFETY: the name is a WASI call's and nothing else in a kernel for wasm32-unknown-unknown
        // has it: there is no libc to clash with.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $ty),*) -> i32 {
            enter(|process, context, guest| process.$name(context, guest, $($arg),*))
        }
    };
}

capfs_runtime::calls!(exports);

// SAFETY: as for the calls above.
#[unsafe(no_mangle)]
extern "C" fn proc_exit(code: u32) {
    with_running(|running| running.process.proc_exit(code));
}
