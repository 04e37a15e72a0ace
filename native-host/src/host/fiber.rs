//! One run of an agent on a stack of its own, which is left and entered again wherever the agent waits.
//!
//! A call that can't be answered yet suspends the stack: what it waits for wakes the agent's task, and a worker, any one, enters the stack
//! again and makes the call again. A guest that computes is suspended at each [tick](super::ticker).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use capfs::Errno;
use capfs::account::Account;
use capfs::clock::Clock;
use capfs_runtime::abi::{PREVIEW1_MODULE, UNSTABLE_MODULE};
use capfs_runtime::{ExitStatus, Process, calls};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};
use wasmtime::{
    AsContextMut, Caller, Instance, InstancePre, Linker, Memory, Module, Store, UpdateDeadline,
};

use super::adapter::{Adapted, EXIT, LATER, NOW, PENDING};
use super::ticker::Ticker;
use crate::clock::TurnClock;
use crate::limits::Limits;
use crate::linker::{Ended, exported_memory};
use crate::run::{Outcome, Report, outcome};
use crate::wait::Cancelled;

/// What a store holds: the agent's side of the host.
pub(crate) struct Fiber {
    process: Process,
    limits: Limits,
    /// Its memory, once it is known.
    memory: Option<Memory>,
    clock: Arc<TurnClock>,
    /// Wakes a call that waits for the clock. Made when one does.
    alarm: Option<Pin<Box<Sleep>>>,
}

macro_rules! define_calls {
    (preview1 { $($name:ident($($arg:ident: $ty:ident),*);)* } unstable { $($old:ident($($oarg:ident: $oty:ident),*);)* }) => {
        /// Defines every call twice: answered at once or not at all, and waited for.
        pub(super) fn define_both(linker: &mut Linker<Fiber>) -> wasmtime::Result<()> {
            $(
                linker.func_wrap(
                    NOW,
                    stringify!($name),
                    |caller: Caller<'_, Fiber>, $($arg: $ty),*| {
                        at_once(caller, |process, context, memory| {
                            process.$name(context, memory, $($arg),*)
                        })
                    },
                )?;
                linker.func_wrap_async(
                    LATER,
                    stringify!($name),
                    |caller: Caller<'_, Fiber>, ($($arg,)*): ($($ty,)*)| {
                        Box::new(call(caller, move |process, context, memory| {
                            process.$name(context, memory, $($arg),*)
                        }))
                    },
                )?;
            )*
            $(
                linker.func_wrap(
                    NOW,
                    stringify!($old),
                    |caller: Caller<'_, Fiber>, $($oarg: $oty),*| {
                        at_once(caller, |process, context, memory| {
                            process.$old(context, memory, $($oarg),*)
                        })
                    },
                )?;
                linker.func_wrap_async(
                    LATER,
                    stringify!($old),
                    |caller: Caller<'_, Fiber>, ($($oarg,)*): ($($oty,)*)| {
                        Box::new(call(caller, move |process, context, memory| {
                            process.$old(context, memory, $($oarg),*)
                        }))
                    },
                )?;
            )*
            linker.func_wrap(NOW, EXIT, exit)?;
            Ok(())
        }

        /// Defines every call of preview 1 and of `wasi_unstable`, each waited for.
        pub(super) fn define(linker: &mut Linker<Fiber>) -> wasmtime::Result<()> {
            for module in [PREVIEW1_MODULE, UNSTABLE_MODULE] {
                $(linker.func_wrap_async(
                    module,
                    stringify!($name),
                    |caller: Caller<'_, Fiber>, ($($arg,)*): ($($ty,)*)| {
                        Box::new(call(caller, move |process, context, memory| {
                            process.$name(context, memory, $($arg),*)
                        }))
                    },
                )?;)*
                linker.func_wrap(module, "proc_exit", exit)?;
            }
            $(linker.func_wrap_async(
                UNSTABLE_MODULE,
                stringify!($old).trim_start_matches("unstable_"),
                |caller: Caller<'_, Fiber>, ($($oarg,)*): ($($oty,)*)| {
                    Box::new(call(caller, move |process, context, memory| {
                        process.$old(context, memory, $($oarg),*)
                    }))
                },
            )?;)*
            Ok(())
        }
    };
}
calls!(define_calls);

fn exit(mut caller: Caller<'_, Fiber>, code: u32) -> wasmtime::Result<()> {
    caller.data_mut().process.proc_exit(code);
    Err(Ended::Exited(ExitStatus::Code(code)).into())
}

/// Makes one call of the guest's, if it is answered at once. Nobody is woken where it is not: it is made again, and waited for.
#[inline]
fn at_once(
    mut caller: Caller<'_, Fiber>,
    make: impl FnOnce(&mut Process, &mut Context<'_>, &mut [u8]) -> Poll<Result<(), Errno>>,
) -> wasmtime::Result<i32> {
    // Whose memory is not known yet does not call through the adapter.
    let memory = caller.data().memory;
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("the program exports no memory"))?;
    let (bytes, fiber) = memory.data_and_store_mut(&mut caller);
    let mut context = Context::from_waker(Waker::noop());
    match make(&mut fiber.process, &mut context, bytes) {
        Poll::Ready(answer) => fiber.answer(answer),
        Poll::Pending => Ok(PENDING),
    }
}

/// Makes one call of the guest's, leaving its stack as often as it takes.
async fn call(
    mut caller: Caller<'_, Fiber>,
    mut make: impl FnMut(&mut Process, &mut Context<'_>, &mut [u8]) -> Poll<Result<(), Errno>> + Send,
) -> wasmtime::Result<i32> {
    // Code that runs straight from call to call is never asked for the thread otherwise.
    tokio::task::coop::consume_budget().await;
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => {
            let memory = exported_memory(&mut caller)?;
            caller.data_mut().memory = Some(memory);
            memory
        }
    };
    let mut waited = false;
    let answer = poll_fn(|context| {
        let (bytes, fiber) = memory.data_and_store_mut(&mut caller);
        loop {
            if let Poll::Ready(answer) = make(&mut fiber.process, context, bytes) {
                return Poll::Ready(answer);
            }
            waited = true;
            if fiber.waits(context) {
                return Poll::Pending;
            }
        }
    });
    let answer = answer.await;
    if waited {
        // The epoch has moved on, and the guest's turn has just begun.
        caller.as_context_mut().set_epoch_deadline(1);
    }
    caller.data().answer(answer)
}

impl Fiber {
    /// What a call returns, unless the program has ended itself by it.
    fn answer(&self, answer: Result<(), Errno>) -> wasmtime::Result<i32> {
        match answer {
            Ok(()) => match self.process.exit_status() {
                None => Ok(0),
                Some(status) => Err(Ended::Exited(status).into()),
            },
            Err(errno) => Ok(i32::from(errno.code())),
        }
    }

    /// Whether the call under way is to wait: it is to be made again at once where its time has come.
    fn waits(&mut self, context: &mut Context<'_>) -> bool {
        let Some(at) = self.process.deadline() else {
            return true;
        };
        let left = at.saturating_sub(self.clock.monotonic());
        if left == 0 {
            // A long call makes a pause.
            context.waker().wake_by_ref();
            return true;
        }
        // Timers count milliseconds; a moment beyond what they can count is never.
        let until = Instant::now().checked_add(Duration::from_nanos(left));
        let Some(until) = until else {
            return true;
        };
        let alarm = match &mut self.alarm {
            Some(alarm) => {
                alarm.as_mut().reset(until);
                alarm
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(until))),
        };
        alarm.as_mut().poll(context).is_pending()
    }
}

/// A program, and how its calls reach the host.
#[derive(Clone)]
pub(crate) enum Entry {
    /// Through the [adapter](super::adapter).
    Adapted(Adapted),
    /// By functions that suspend its stack.
    Direct(InstancePre<Fiber>),
}

impl Entry {
    pub(super) fn module(&self) -> &Module {
        match self {
            Entry::Adapted(program) => program.module(),
            Entry::Direct(program) => program.module(),
        }
    }

    async fn instantiate(&self, store: &mut Store<Fiber>) -> wasmtime::Result<Instance> {
        match self {
            Entry::Adapted(program) => program.instantiate(store).await,
            Entry::Direct(program) => program.instantiate_async(store).await,
        }
    }

    fn limits(&self, account: &Account) -> Limits {
        match self {
            Entry::Adapted(_) => Limits::new(account).with_adapter(),
            Entry::Direct(_) => Limits::new(account),
        }
    }
}

/// How an agent is told from outside that it is to end.
#[derive(Default)]
pub(crate) struct Ending {
    why: OnceLock<Cancelled>,
    told: Notify,
}

impl Ending {
    /// Ends it; the first reason stays.
    pub(crate) fn end(&self, why: Cancelled) {
        if self.why.set(why).is_ok() {
            self.told.notify_one();
        }
    }

    async fn told(&self) -> Cancelled {
        loop {
            match self.why.get() {
                Some(why) => return *why,
                None => self.told.notified().await,
            }
        }
    }
}

/// What a run is bounded by, and by what it is driven.
pub(super) struct Course<'a> {
    pub(super) ticker: &'a Ticker,
    pub(super) ending: &'a Ending,
    /// When its time is up.
    pub(super) until: Option<Instant>,
}

impl Course<'_> {
    /// Waits for what a future gives, unless the run is ended before.
    pub(super) async fn wait_for<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, Cancelled> {
        let late = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            why = self.ending.told() => Err(why),
            () = late => Err(Cancelled::Timeout),
            done = future => Ok(done),
        }
    }
}

/// What a turn of an agent is woken by. A long call makes pauses, for which it wakes itself at once: a task that does would be at the end of its
/// worker's queue, which never runs empty then, and a worker looks at sockets and timers at every 61st task only.
struct Turn {
    task: Waker,
    under_way: AtomicBool,
    /// It was woken while it was under way.
    woken: AtomicBool,
}

impl Turn {
    fn of(task: Waker) -> Turn {
        Turn {
            task,
            under_way: AtomicBool::new(false),
            woken: AtomicBool::new(false),
        }
    }

    fn begins(&self) {
        // Read as well: what a waker was called for before is seen by this turn.
        self.woken.swap(false, Ordering::SeqCst);
        self.under_way.store(true, Ordering::SeqCst);
    }

    /// Whether it was woken meanwhile.
    fn ends(&self) -> bool {
        // Sequentially consistent, as in the waker: either it wakes the task, or this sees it.
        self.under_way.store(false, Ordering::SeqCst);
        self.woken.load(Ordering::SeqCst)
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.under_way.load(Ordering::SeqCst) {
            self.task.wake_by_ref();
        }
    }
}

/// Runs a process to its end.
pub(super) async fn run(
    program: &Entry,
    process: Process,
    clock: Arc<TurnClock>,
    account: &Account,
    course: &Course<'_>,
) -> Report {
    let begun = std::time::Instant::now();
    let fiber = Fiber {
        process,
        limits: program.limits(account),
        memory: None,
        clock: clock.clone(),
        alarm: None,
    };
    let mut store = Store::new(program.module().engine(), fiber);
    store.limiter(|fiber| &mut fiber.limits);
    store.set_epoch_deadline(1);
    // Not the engine's own way to yield: tokio's lets the runtime look at what it waits for before the guest goes on.
    store.epoch_deadline_callback(|_| {
        let others = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(1, others))
    });
    let mut entered = None;
    let ended = {
        let called = async {
            let instance = program.instantiate(&mut store).await?;
            store.data_mut().memory = instance.get_memory(&mut store, "memory");
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            entered = Some(std::time::Instant::now());
            start.call_async(&mut store, ()).await
        };
        let mut called = pin!(called);
        let mut turn: Option<(Arc<Turn>, Waker)> = None;
        let turns = poll_fn(|context| {
            let _running = course.ticker.turn();
            let _counted = clock.turn();
            let (turn, waker) = match &mut turn {
                Some(known) if known.0.task.will_wake(context.waker()) => known,
                known => {
                    let turn = Arc::new(Turn::of(context.waker().clone()));
                    let waker = Waker::from(turn.clone());
                    known.insert((turn, waker))
                }
            };
            turn.begins();
            let polled = called.as_mut().poll(&mut Context::from_waker(waker));
            if turn.ends() && polled.is_pending() {
                // Others come first, and what the runtime waits for.
                let mut pause = pin!(tokio::task::yield_now());
                let _ = pause.as_mut().poll(context);
            }
            polled
        });
        course.wait_for(turns).await
    };
    let entered = entered.unwrap_or_else(std::time::Instant::now);
    let outcome = match ended {
        Ok(ended) => outcome(ended, store.data().limits.refused()),
        Err(why) => {
            store.data_mut().process.cancel();
            Outcome::Cancelled(why)
        }
    };
    let report = Report {
        usage: store.data().process.usage(),
        memory: store.data().limits.memory(),
        account: account.usage(),
        instantiate: entered.duration_since(begun),
        run: entered.elapsed(),
        outcome,
    };
    if let Outcome::Exited(_) = report.outcome {
        // What it left open is finished, unless it is ended from outside meanwhile.
        let process = &mut store.data_mut().process;
        let finished = poll_fn(|context| process.poll_finish(context));
        let _ = course.wait_for(finished).await;
    }
    report
}
