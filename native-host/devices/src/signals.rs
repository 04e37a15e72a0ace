//! Signals of the operating system.

use std::io;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Calls `hung_up` for each SIGHUP, on a thread of its own, as long as the process lives.
///
/// # Errors
/// The system gives no thread, or no handler.
pub fn on_hangup(mut hung_up: impl FnMut() + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let wait = move || {
        runtime.block_on(async {
            while signals.recv().await.is_some() {
                hung_up();
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(drop)
}
