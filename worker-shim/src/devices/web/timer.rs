//! Timers, and the clock that they are read by.

use capfs::BoxedFuture;
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// The longest timer that `setTimeout` takes, in milliseconds.
const TIMER_MAX: u64 = (1 << 31) - 1;

/// Milliseconds since an arbitrary start.
pub fn now() -> u64 {
    performance_now() as u64
}

/// Ends after so many milliseconds, or the most that a timer takes.
pub fn sleep(millis: u64) -> BoxedFuture<()> {
    Box::pin(TimeoutFuture::new(millis.min(TIMER_MAX) as u32))
}
