//! Time, tasks and URLs of the web platform.

use capfs::BoxedFuture;
use capfs_devices::outside::Outside;
use capfs_devices::url::Url;
use wasm_bindgen_futures::spawn_local;

use super::{timer, url};

/// The network, as a page has it.
pub struct Web;

impl Outside for Web {
    fn parse(&self, text: &str, base: Option<&Url>) -> Option<Url> {
        url::parse(text, base)
    }

    fn spawn(&self, future: BoxedFuture<()>) {
        spawn_local(future);
    }

    fn sleep(&self, millis: u64) -> BoxedFuture<()> {
        timer::sleep(millis)
    }

    fn now(&self) -> u64 {
        timer::now()
    }
}
