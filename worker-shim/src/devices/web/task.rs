//! Children of the page, or of an agent: the page's script starts them (`web/src/page/task.ts`).

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use capfs::device::parts::Waiters;
use capfs::{BindOrder, GuestSink, NodeRef, Op, OpenFile, WriteAt};
use capfs_devices::grant::Grant;
use capfs_devices::task::{Ended, Plan, Refusal, Spawner, Task, TaskDevice};
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::refused;
use crate::machine::account;
use crate::protocol::{JsTaskPlan, TaskBind, TaskBindOrder, TaskPlan, Variable};

#[wasm_bindgen]
extern "C" {
    /// `TaskHost` of `web/src/page/task.ts`. What it throws has the name of an errno as its `code`.
    #[derive(Clone)]
    pub type JsTasks;

    #[wasm_bindgen(method)]
    fn check(this: &JsTasks, flag: &str) -> Promise;
    #[wasm_bindgen(method)]
    fn start(this: &JsTasks, number: f64, plan: &JsTaskPlan, child: TaskChild) -> Promise;
    /// Ends all of them, and starts none any more.
    #[wasm_bindgen(method)]
    pub fn end(this: &JsTasks);
    #[wasm_bindgen(method)]
    fn kill(this: &JsTasks, number: f64);
    #[wasm_bindgen(method)]
    fn revoke(this: &JsTasks, number: f64, at: &str) -> Promise;
}

/// Where a read puts what it gets: no room is taken before there is something, as that may be never.
struct Gathered {
    bytes: Vec<u8>,
    max: usize,
}

impl Gathered {
    /// Takes so many bytes at most.
    fn up_to(max: usize) -> Gathered {
        Gathered {
            bytes: Vec::new(),
            max,
        }
    }

    /// What came.
    fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl GuestSink for Gathered {
    fn remaining(&self) -> usize {
        self.max - self.bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.remaining());
        self.bytes.extend_from_slice(&bytes[..count]);
        count
    }
}

/// A child, as the page's script has it: the other ends of its standard streams, and its end.
#[wasm_bindgen]
pub struct TaskChild(Rc<Child>);

/// What a child has here until it has ended: the script's object is there until it is collected, and must keep nothing more.
struct Child(RefCell<Option<Ends>>);

struct Ends {
    task: Arc<Task>,
    stdio: [Box<dyn OpenFile>; 3],
    /// Who waits at a stream, by its number. A stream that is closed here wakes its other end alone.
    waiting: Waiters,
}

/// Bytes of standard input that are handed over at once.
const INPUT_CHUNK: usize = 64 << 10;

impl Child {
    /// Polls one of its streams; none where there is no such stream, or it has ended.
    fn poll<T>(
        &self,
        stream: usize,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut dyn OpenFile, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        let mut ends = self.0.borrow_mut();
        let Some(Ends { stdio, waiting, .. }) = &mut *ends else {
            return Poll::Ready(None);
        };
        let Some(file) = stdio.get_mut(stream) else {
            return Poll::Ready(None);
        };
        let polled = poll(&mut **file, context);
        if polled.is_pending() {
            let crowded = waiting.register(stream as u64, context);
            drop(ends);
            crowded.wake();
        }
        polled.map(Some)
    }

    /// Closes its streams, where that has not been done: who waits at them here learns that it has ended. Returns whose they were.
    fn end(&self) -> Option<Arc<Task>> {
        // Taken out first: closing them may come back here.
        let mut ends = self.0.take()?;
        drop(ends.stdio);
        ends.waiting.take().wake();
        Some(ends.task)
    }
}

#[wasm_bindgen]
impl TaskChild {
    /// The next bytes of its standard input; none at the end, and once it has ended.
    pub async fn read_input(&self) -> Option<Vec<u8>> {
        let child = self.0.clone();
        let mut sink = Gathered::up_to(INPUT_CHUNK);
        let count = poll_fn(|context| {
            child.poll(0, context, |input, context| {
                input.poll_read(context, 0, &mut sink)
            })
        });
        let count = count.await?.ok()?;
        (count > 0).then(|| sink.into_bytes())
    }

    /// Hands over what it printed on stream 1 or 2, and waits until its parent has room for it; whether anybody
    /// reads it. Once it has ended nobody does.
    pub async fn write_output(&self, stream: usize, bytes: Vec<u8>) -> bool {
        let child = self.0.clone();
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let written = poll_fn(|context| {
                child.poll(stream, context, |output, context| {
                    output.poll_write(context, WriteAt::End, &mut { rest })
                })
            });
            let Some(Ok(written)) = written.await else {
                return false;
            };
            rest = rest.get(written.bytes..).unwrap_or_default();
        }
        true
    }

    /// It has ended, and everything that it printed was handed over.
    pub fn ended(&self, code: u32, reason: String) {
        if let Some(task) = self.0.end() {
            task.ended(Ended { code, reason });
        }
    }
}

/// A child until it has been started. One that isn't lets go of its streams here: so long a reader of the task's output would wait for
/// what nobody writes.
struct Unstarted(Option<Rc<Child>>);

impl Drop for Unstarted {
    fn drop(&mut self) {
        let _ = self.0.take().and_then(|child| child.end());
    }
}

struct PageSpawner(Rc<JsTasks>);

/// What the script is told of a task.
fn told(plan: Plan) -> JsTaskPlan {
    let env = plan.env.into_iter();
    let binds = plan.binds.into_iter().map(|bind| TaskBind {
        from: bind.from,
        to: bind.to,
        writable: bind.writable,
        order: match bind.order {
            BindOrder::Replace => TaskBindOrder::Replace,
            BindOrder::Before => TaskBindOrder::Before,
            BindOrder::After => TaskBindOrder::After,
        },
    });
    TaskPlan {
        program: plan.program,
        args: plan.args,
        env: env.map(|(name, value)| Variable { name, value }).collect(),
        dir: plan.dir,
        binds: binds.collect(),
        grants: plan.grants.iter().map(Grant::to_flag).collect(),
    }
    .told()
}

fn refusal(error: &JsValue) -> Refusal {
    let (errno, text) = refused(error);
    Refusal { errno, text }
}

impl Spawner for PageSpawner {
    fn check(&self, task: Arc<Task>, grant: &Grant) -> Op<()> {
        let checked = self.0.check(&grant.to_flag());
        Op::later(async move {
            let checked = JsFuture::from(checked).await;
            let checked = checked.map_err(|error| task.refused(refusal(&error)));
            checked.map(|_| ())
        })
    }

    fn start(&self, task: Arc<Task>, plan: Plan, stdio: [Box<dyn OpenFile>; 3]) -> Op<()> {
        let child = Rc::new(Child(RefCell::new(Some(Ends {
            task: task.clone(),
            stdio,
            waiting: Waiters::default(),
        }))));
        let unstarted = Unstarted(Some(child.clone()));
        let plan = told(plan);
        let started = self.0.start(task.number() as f64, &plan, TaskChild(child));
        Op::later(async move {
            let mut unstarted = unstarted;
            match JsFuture::from(started).await {
                Ok(_) => {
                    unstarted.0 = None;
                    Ok(())
                }
                Err(error) => Err(task.refused(refusal(&error))),
            }
        })
    }

    fn kill(&self, number: u64) {
        self.0.kill(number as f64);
    }

    fn revoke(&self, number: u64, at: &str) -> Op<()> {
        let revoked = self.0.revoke(number as f64, at);
        Op::later(async move {
            let revoked = JsFuture::from(revoked).await;
            revoked.map(|_| ()).map_err(|error| refused(&error).0)
        })
    }
}

/// Makes the device of a parent whose children the script starts.
///
/// # Errors
/// A sentence that says what is wrong with the grant.
pub fn tasks(grant: &Grant, host: JsTasks) -> Result<NodeRef, JsValue> {
    let spawner = Arc::new(PageSpawner(Rc::new(host)));
    let device = TaskDevice::new(spawner, grant, &account());
    let device = device.map_err(|error| JsValue::from_str(&error.to_string()))?;
    Ok(device.root())
}
