//! A part of the page, as the page's script has it: the checks, the sanitising and the document itself are there
//! (`web/src/page/dom/part.ts`).

use std::sync::Arc;

use capfs::NodeRef;
use capfs_devices::dom::{Command, Events, Page, Part, Policy, Refusal, device};
use capfs_devices::grant::Grant;
use capfs_devices::origin::Origin;
use wasm_bindgen::prelude::*;

use super::refused;
use crate::protocol::{DomPolicy, JsDomPolicy};

#[wasm_bindgen]
extern "C" {
    /// `DomPart` of `web/src/page/dom/part.ts`. What it throws has the name of an errno as its `code`.
    #[derive(Clone)]
    pub type JsPart;

    #[wasm_bindgen(method, catch)]
    fn begin(
        this: &JsPart,
        policy: &JsDomPolicy,
        load: &Closure<dyn Fn(String, String, u16) -> bool>,
        event: &Closure<dyn Fn(f64, String)>,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn create(this: &JsPart, tag: &str) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn get(this: &JsPart, element: f64, part: &str) -> Result<String, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn set(this: &JsPart, element: f64, part: &str, text: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn command(
        this: &JsPart,
        element: f64,
        what: &str,
        first: JsValue,
        second: JsValue,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn has(this: &JsPart, element: f64) -> bool;
    #[wasm_bindgen(method)]
    fn numbers(this: &JsPart, after: f64, max: u32) -> Vec<f64>;
    #[wasm_bindgen(method)]
    pub fn end(this: &JsPart);
}

/// The page's part for as long as the device lives.
struct PagePart {
    part: JsPart,
    /// Called by the page: they must live as long as it may call.
    _load: Closure<dyn Fn(String, String, u16) -> bool>,
    _event: Closure<dyn Fn(f64, String)>,
}

impl Drop for PagePart {
    fn drop(&mut self) {
        self.part.end();
    }
}

fn refusal(error: &JsValue) -> Refusal {
    let (errno, text) = refused(error);
    Refusal { errno, text }
}

impl Page for PagePart {
    fn create(&self, tag: &str) -> Result<u64, Refusal> {
        let number = self.part.create(tag).map_err(|error| refusal(&error))?;
        Ok(number as u64)
    }

    fn get(&self, element: u64, part: Part) -> Result<String, Refusal> {
        let text = self.part.get(element as f64, part.name());
        text.map_err(|error| refusal(&error))
    }

    fn set(&self, element: u64, part: Part, text: &str) -> Result<(), Refusal> {
        let done = self.part.set(element as f64, part.name(), text);
        done.map_err(|error| refusal(&error))
    }

    fn command(&self, element: u64, command: Command<'_>) -> Result<(), Refusal> {
        let none = || JsValue::UNDEFINED;
        let number = |number: u64| JsValue::from(number as f64);
        let (what, first, second) = match command {
            Command::Append(child) => ("append", number(child), none()),
            Command::Insert(child, other) => ("insert", number(child), number(other)),
            Command::Remove => ("remove", none(), none()),
            Command::Delete => ("delete", none(), none()),
            Command::Listen(event) => ("listen", event.into(), none()),
            Command::Unlisten(event) => ("unlisten", event.into(), none()),
            Command::Focus => ("focus", none(), none()),
        };
        let done = self.part.command(element as f64, what, first, second);
        done.map_err(|error| refusal(&error))
    }

    fn has(&self, element: u64) -> bool {
        self.part.has(element as f64)
    }

    fn numbers(&self, after: u64, max: usize) -> Vec<u64> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let numbers = self.part.numbers(after as f64, max);
        numbers.into_iter().map(|number| number as u64).collect()
    }
}

/// Makes the device of a part of the page.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or why the page refuses.
pub fn part(grant: &Grant, part: JsPart) -> Result<NodeRef, JsValue> {
    let policy =
        Policy::from_grant(grant).map_err(|error| JsValue::from_str(&error.to_string()))?;
    let patterns = policy.load.clone();
    let load = Closure::new(move |scheme: String, host: String, port: u16| {
        let origin = Origin { scheme, host, port };
        patterns.iter().any(|pattern| pattern.matches(&origin))
    });
    let events = Events::default();
    let queue = events.clone();
    let event = Closure::new(move |element: f64, line: String| queue.push(element as u64, line));
    let told = DomPolicy {
        raw: policy.raw,
        elements: policy.elements as f64,
        cleanup: policy.cleanup,
    }
    .told();
    part.begin(&told, &load, &event)?;
    let page = PagePart {
        part,
        _load: load,
        _event: event,
    };
    Ok(device(Arc::new(page), &policy, events))
}
