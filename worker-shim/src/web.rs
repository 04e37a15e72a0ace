//! What the kernel asks of JavaScript: the clocks, random numbers, and somebody who takes output.

use std::cell::Cell;
use std::sync::Arc;

use capfs::Errno;
use capfs::clock::Clock;
use capfs_runtime::RandomSource;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn get_random_values(into: &mut [u8]) -> Result<(), JsValue>;
}

/// Nanoseconds in a millisecond, the unit of JavaScript's clocks.
const NANOS_PER_MILLI: f64 = 1e6;

thread_local! {
    /// The wall clock in milliseconds as of the last tick.
    static COARSE: Cell<f64> = const { Cell::new(0.0) };
    /// What to add to `performance.now()` for the wall clock, in milliseconds. It is corrected on ticks,
    /// because the wall clock may be set, and `performance.now()` may stand still while a machine sleeps.
    static WALL_OFFSET: Cell<f64> = const { Cell::new(0.0) };
    static LAST_CORRECTION: Cell<f64> = const { Cell::new(0.0) };
}

/// Milliseconds between two looks at whether the wall clock was set.
const CORRECTION_EVERY: f64 = 1_000.0;

/// Milliseconds by which the wall clock must differ before it is taken to have been set.
const CORRECTION_FROM: f64 = 20.0;

/// Takes the wall clock as the host read it just now, in milliseconds.
pub fn tick(wall: f64) {
    COARSE.set(wall);
    if (wall - LAST_CORRECTION.get()).abs() >= CORRECTION_EVERY {
        LAST_CORRECTION.set(wall);
        let monotonic = performance_now();
        if (monotonic + WALL_OFFSET.get() - wall).abs() > CORRECTION_FROM {
            WALL_OFFSET.set(wall - monotonic);
        }
    }
}

/// Looks at the wall clock, where something is asked for from outside of the agent's calls: time stamps are as of the last look.
pub fn look() {
    tick(date_now());
}

/// The clocks of the agent's own worker.
pub struct WebClock;

impl WebClock {
    /// Starts the clocks.
    pub fn shared() -> Arc<dyn Clock> {
        WALL_OFFSET.set(TIME_ORIGIN.with(|origin| *origin));
        tick(date_now());
        Arc::new(WebClock)
    }
}

impl Clock for WebClock {
    fn realtime(&self) -> u64 {
        ((performance_now() + WALL_OFFSET.get()) * NANOS_PER_MILLI) as u64
    }

    fn monotonic(&self) -> u64 {
        (performance_now() * NANOS_PER_MILLI) as u64
    }

    fn coarse(&self) -> u64 {
        (COARSE.get() * NANOS_PER_MILLI) as u64
    }

    /// 100 us: what browsers round `performance.now()` to on a page without cross-origin isolation
    /// ([HR-Time](https://www.w3.org/TR/hr-time-3/#dfn-coarsen-time)).
    fn realtime_resolution(&self) -> u64 {
        100_000
    }

    fn monotonic_resolution(&self) -> u64 {
        100_000
    }
}

/// The clocks of a kernel that runs no agent: nobody ticks there, so the coarse clock is the wall clock itself.
pub struct UntickedClock;

impl Clock for UntickedClock {
    fn realtime(&self) -> u64 {
        (date_now() * NANOS_PER_MILLI) as u64
    }

    fn monotonic(&self) -> u64 {
        WebClock.monotonic()
    }

    fn coarse(&self) -> u64 {
        self.realtime()
    }

    fn realtime_resolution(&self) -> u64 {
        NANOS_PER_MILLI as u64
    }

    fn monotonic_resolution(&self) -> u64 {
        WebClock.monotonic_resolution()
    }
}

/// Bytes asked of `crypto.getRandomValues` at a time: its fixed price is that of some 1,000 bytes.
const POOL: usize = 1024;

/// Random bytes of the browser's generator, asked for in chunks.
pub struct WebRandom {
    pool: [u8; POOL],
    used: usize,
}

impl WebRandom {
    /// A source with nothing in its pool.
    pub fn new() -> Self {
        WebRandom {
            pool: [0; POOL],
            used: POOL,
        }
    }
}

/// Fills `into` with random bytes of the browser's.
pub fn random(into: &mut [u8]) -> Result<(), Errno> {
    // getRandomValues refuses more than 65,536 bytes at once.
    into.chunks_mut(65_536)
        .try_for_each(|part| get_random_values(part).map_err(|_| Errno::Io))
}

impl RandomSource for WebRandom {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Errno> {
        if into.len() >= POOL {
            return random(into);
        }
        if self.used + into.len() > POOL {
            get_random_values(&mut self.pool).map_err(|_| Errno::Io)?;
            self.used = 0;
        }
        let given = &mut self.pool[self.used..self.used + into.len()];
        into.copy_from_slice(given);
        given.fill(0);
        self.used += into.len();
        Ok(())
    }
}
