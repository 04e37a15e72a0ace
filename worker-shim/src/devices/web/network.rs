//! The network as Node has it, where addresses can be seen: whoever serves a name decides where it leads, so each address is put to the
//! policy of the device before it is connected to.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use capfs_devices::address::Addresses;
use capfs_devices::origin::Origin;
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::*;

/// Scheme, host, port and address: whether a connection for that origin may go there.
type Allows = dyn Fn(String, String, u16, String) -> bool;

#[wasm_bindgen]
extern "C" {
    /// What the worker's entry in Node has for it (`node-network.ts`).
    #[wasm_bindgen(js_name = capfsNetwork)]
    type JsNetwork;
    #[wasm_bindgen(constructor, js_class = capfsNetwork, catch)]
    fn new(allows: &JsValue) -> Result<JsNetwork, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &JsNetwork, url: &str, init: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn check(this: &JsNetwork, url: &str) -> Result<Promise, JsValue>;
}

/// Whether this engine is Node.
pub fn in_node() -> bool {
    thread_local! {
        static IN_NODE: bool = is_node();
    }
    IN_NODE.with(|in_node| *in_node)
}

fn is_node() -> bool {
    let release = property(&js_sys::global(), "process")
        .filter(JsValue::is_object)
        .and_then(|process| property(&process, "release"))
        .filter(JsValue::is_object);
    let name = release.and_then(|release| property(&release, "name"));
    name.and_then(|name| name.as_string()).as_deref() == Some("node")
}

/// A property of an object, if it can be read.
pub fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok()
}

/// The network of one device; its connections serve nobody else's requests.
#[derive(Clone)]
pub struct Network(Rc<Inner>);

struct Inner {
    /// Or why there is none: then nothing is connected to.
    network: Result<JsNetwork, JsValue>,
    /// Called by the network, as long as this is here.
    _allows: Closure<Allows>,
}

impl Network {
    /// A network that asks `addresses` before it connects.
    pub fn new(addresses: Arc<dyn Addresses>) -> Network {
        let allows = move |scheme, host, port, address: String| {
            let origin = Origin { scheme, host, port };
            // What can't be read (one with a zone) is not public.
            let address = address.parse::<IpAddr>();
            address.is_ok_and(|address| addresses.allowed(&origin, address))
        };
        let allows = Closure::<Allows>::new(allows);
        Network(Rc::new(Inner {
            network: JsNetwork::new(allows.as_ref()),
            _allows: allows,
        }))
    }

    fn js(&self) -> Result<&JsNetwork, JsValue> {
        self.0.network.as_ref().map_err(Clone::clone)
    }

    /// As `fetch` of the platform, but for what it connects to. An address that is refused is an error whose `code` is `EACCES`.
    pub fn fetch(&self, url: &str, init: &Object) -> Result<Promise, JsValue> {
        self.js()?.fetch(url, init)
    }

    /// That every address of a URL's host may be connected to; rejects as [`Network::fetch`].
    pub fn check(&self, url: &str) -> Result<Promise, JsValue> {
        self.js()?.check(url)
    }
}
