//! The kernel's control interface: what JavaScript calls, between an agent's system calls.
//!
//! - [`mounts`]: devices, and where they are mounted
//! - [`process`]: the agent, from its start to its end
//! - [`streams`]: what it reads and prints
//! - [`requests`]: what the page asks of its files
//! - [`peers`]: what other kernels ask of them
//!
//! Errors reach JavaScript as the symbolic name of an errno, such as `ENOENT`, or as a sentence where
//! there is none.

pub mod mounts;
pub mod peers;
pub mod process;
pub mod requests;
pub mod streams;

use std::cell::RefCell;

use capfs::Errno;
use js_sys::Function;
use wasm_bindgen::prelude::*;

use crate::machine::{Agent, Machine, with_machine};
use crate::protocol::CodedError;
use crate::wake;

/// What is said where a trap has left the kernel in the midst of something.
fn broken() -> JsValue {
    JsValue::from_str("the kernel has been left by a trap")
}

/// That what is made for the agent still has an agent: while it was waited for, the agent may have been ended.
pub fn not_ended() -> Result<(), JsValue> {
    match machine(|machine| Ok(machine.agent))? {
        Agent::Ended => Err(JsValue::from_str("the agent has been ended")),
        Agent::None | Agent::Runs => Ok(()),
    }
}

pub fn named(errno: Errno) -> JsValue {
    JsValue::from_str(errno.name())
}

pub fn machine<R>(action: impl FnOnce(&mut Machine) -> Result<R, JsValue>) -> Result<R, JsValue> {
    with_machine(action).ok_or_else(broken)?
}

pub fn sentence(error: &impl std::fmt::Display) -> JsValue {
    JsValue::from_str(&error.to_string())
}

/// An error of the package's: its code (`CapfsErrorCode` in `web/src/both/errors.ts`), and a sentence.
pub fn coded(code: &str, text: &str) -> JsValue {
    let error = CodedError {
        code: code.to_owned(),
        message: text.to_owned(),
    };
    error.told().into()
}

/// Makes the kernel report a broken invariant of its own before it traps.
#[wasm_bindgen]
pub fn report_panics(report: Function) {
    thread_local! {
        static REPORT: RefCell<Option<Function>> = const { RefCell::new(None) };
    }
    REPORT.set(Some(report));
    std::panic::set_hook(Box::new(|info| {
        REPORT.with_borrow(|report| {
            if let Some(report) = report {
                // If JavaScript throws here there is nobody left to tell.
                let _ = report.call1(&JsValue::NULL, &info.to_string().into());
            }
        });
    }));
}

/// Takes the function that is called, from outside of any call of the kernel's or from inside, when a wait
/// may have ended. It must not call the kernel before it has returned.
#[wasm_bindgen]
pub fn on_wake(wake: Function) {
    wake::on_wake(wake);
}
