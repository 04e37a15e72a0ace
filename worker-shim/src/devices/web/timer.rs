//! Timers, and the clock that they are read by.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use capfs::BoxedFuture;
use js_sys::Function;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &Function, millis: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// The longest timer that `setTimeout` takes, in milliseconds.
const TIMER_MAX: u64 = (1 << 31) - 1;

/// Milliseconds since an arbitrary start.
pub fn now() -> u64 {
    performance_now() as u64
}

/// Ends after so many milliseconds.
pub fn sleep(millis: u64) -> BoxedFuture<()> {
    let state: Rc<RefCell<State>> = Rc::default();
    let told = state.clone();
    let handler = Closure::once(move || {
        let waker = {
            let mut state = told.borrow_mut();
            state.over = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    let timer = set_timeout(
        handler.as_ref().unchecked_ref(),
        millis.min(TIMER_MAX) as f64,
    );
    Box::pin(Sleep {
        state,
        timer,
        _handler: handler,
    })
}

#[derive(Default)]
struct State {
    over: bool,
    waker: Option<Waker>,
}

struct Sleep {
    state: Rc<RefCell<State>>,
    timer: JsValue,
    _handler: Closure<dyn FnMut()>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.over {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        clear_timeout(&self.timer);
    }
}
