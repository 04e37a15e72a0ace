//! The waker: how something that ends outside of the kernel (a promise, a timer) makes the agent's call go on.
//!
//! The kernel itself waits for nothing: a call that would block has returned, and JavaScript makes it again. The
//! waker tells JavaScript that it should.
#![expect(unsafe_code, reason = "a waker that is a constant")]

use std::cell::RefCell;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use js_sys::Function;
use wasm_bindgen::JsValue;

thread_local! {
    static WAKE: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Takes the function that is called when something has happened. It must not call the kernel on the spot.
pub fn on_wake(wake: Function) {
    WAKE.set(Some(wake));
}

/// Tells JavaScript that something has happened.
pub fn wake() {
    // Taken out of the cell first: the function is JavaScript's, and nothing is borrowed while it runs.
    if let Some(wake) = WAKE.with_borrow(Clone::clone) {
        // What it throws is its own affair.
        let _ = wake.call0(&JsValue::NULL);
    }
}

const VTABLE: RawWakerVTable = RawWakerVTable::new(
    |_| RawWaker::new(ptr::null(), &VTABLE),
    |_| wake(),
    |_| wake(),
    |_| {},
);

// SAFETY: no function of the table uses the pointer, and each can be called from any thread, as there
// is one (the contract of `RawWaker`).
static WAKER: Waker = unsafe { Waker::new(ptr::null(), &VTABLE) };

/// The kernel's waker.
#[inline]
pub fn waker() -> &'static Waker {
    &WAKER
}
