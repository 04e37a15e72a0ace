//! HTTP by the browser's `fetch`, or by what Node has in its place ([`Network`]).
//!
//! The browser decides what a page may do anyhow: CORS, mixed content, its own cache and connections. Nothing of the user's
//! goes along: no cookies, no cached answers, no referrer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use capfs::{BoxedFuture, Errno, GuestSink};
use capfs_devices::address::Addresses;
use capfs_devices::fetch::host::{
    Abilities, Client, Failure, Hold, Host, Redirect, Request, RequestBody, Response, ResponseBody,
};
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::network::{Network, in_node, property};
use super::outside::Web;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch, catch)]
    fn js_fetch(url: &str, init: &Object) -> Result<Promise, JsValue>;

    type Blob;
    #[wasm_bindgen(constructor)]
    fn new(parts: &Array) -> Blob;

    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);

    #[wasm_bindgen(js_name = Response)]
    type JsResponse;
    #[wasm_bindgen(method, getter, js_name = type)]
    fn kind(this: &JsResponse) -> String;
    #[wasm_bindgen(method, getter)]
    fn url(this: &JsResponse) -> String;
    #[wasm_bindgen(method, getter)]
    fn redirected(this: &JsResponse) -> bool;
    #[wasm_bindgen(method, getter)]
    fn status(this: &JsResponse) -> u16;
    #[wasm_bindgen(method, getter, js_name = statusText)]
    fn status_text(this: &JsResponse) -> String;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &JsResponse) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn body(this: &JsResponse) -> Option<ReadableStream>;

    type ReadableStream;
    #[wasm_bindgen(method, js_name = getReader)]
    fn get_reader(this: &ReadableStream) -> Reader;

    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader) -> Promise;

    /// What `read` resolves to.
    type Chunk;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Chunk) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Chunk) -> Option<Uint8Array>;
}

/// Bytes that are copied at once from JavaScript's memory on their way to the agent's.
const COPY: usize = 64 << 10;

impl Host for Web {
    /// A page doesn't see addresses; its browser keeps it from those that are not for it. Node does.
    fn client(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn Client> {
        Arc::new(WebClient(in_node().then(|| Network::new(addresses))))
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            // A browser hides one that isn't followed (as an opaque-redirect filtered response); Node has nobody to hide it from.
            sees_redirects: in_node(),
            streams_requests: false,
        }
    }
}

struct WebClient(Option<Network>);

impl Client for WebClient {
    fn send(&self, request: Request) -> BoxedFuture<Result<Response, Failure>> {
        Box::pin(send(self.0.clone(), request))
    }
}

/// A request that is given up when nobody wants its answer any more.
struct Pending {
    controller: AbortController,
    _hold: Hold,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

/// What a failure says. A browser tells no more than a sentence; Node tells that there was a failure, and what of as its cause.
pub(super) fn failure(error: &JsValue) -> Failure {
    let text = |of: &JsValue, name: &str| {
        let text = property(of, name).and_then(|text| text.as_string());
        text.filter(|text| !text.is_empty())
    };
    let message = text(error, "message").unwrap_or_else(|| "the request failed".to_owned());
    // What the network in Node says itself: an address that may not be connected to.
    if text(error, "code").as_deref() == Some("EACCES") {
        let refused = Failure::new(Errno::Acces, message);
        return match text(error, "hidden") {
            Some(hidden) => refused.hiding(hidden),
            None => refused,
        };
    }
    let cause = property(error, "cause").filter(JsValue::is_object);
    // Where several addresses were tried there is no message, and a code all the same.
    let cause = cause.and_then(|cause| text(&cause, "message").or_else(|| text(&cause, "code")));
    Failure::new(
        Errno::Io,
        match cause {
            Some(cause) => format!("{message}: {cause}"),
            None => message,
        },
    )
}

/// A failure in a browser, which says the same of a server that isn't there and of one that this page may not ask.
fn unexplained(error: &JsValue) -> Failure {
    let failure = failure(error);
    let text = format!(
        "{}: the server can't be reached, or doesn't allow this page's origin (CORS)",
        failure.text
    );
    Failure { text, ..failure }
}

fn init(request: &Request, pending: &Pending) -> Result<Object, JsValue> {
    let init = Object::new();
    let set = |name: &str, value: &JsValue| Reflect::set(&init, &name.into(), value);
    set("method", &request.method.as_str().into())?;
    let headers = request.headers.iter();
    let headers: Array = headers
        .map(|(name, value)| Array::of2(&name.as_str().into(), &value.as_str().into()))
        .collect();
    set("headers", &headers)?;
    if let RequestBody::Whole(bytes) = &request.body {
        // Not the bytes themselves: Node 20 can't send those again behind a redirect, as they are gone by then.
        let parts = Array::of1(&Uint8Array::from((**bytes).as_ref()));
        set("body", &Blob::new(&parts))?;
    }
    let redirect = match request.redirect {
        Redirect::Follow => "follow",
        Redirect::Show | Redirect::Refuse => "manual",
    };
    set("redirect", &redirect.into())?;
    set("credentials", &"omit".into())?;
    set("cache", &"no-store".into())?;
    set("referrerPolicy", &"no-referrer".into())?;
    set("signal", &pending.controller.signal())?;
    Ok(init)
}

async fn send(network: Option<Network>, request: Request) -> Result<Response, Failure> {
    let pending = Pending {
        controller: AbortController::new(),
        _hold: request.hold.clone(),
    };
    let url = &request.url.href;
    let promise = init(&request, &pending).and_then(|init| match &network {
        Some(network) => network.fetch(url, &init),
        None => js_fetch(url, &init),
    });
    let promise = promise.map_err(|error| failure(&error))?;
    let response = JsFuture::from(promise).await;
    let response = response.map_err(|error| match &network {
        Some(_) => failure(&error),
        None => unexplained(&error),
    });
    let response: JsResponse = response?.unchecked_into();
    if response.kind() == "opaqueredirect" {
        let text = "the server redirects, and a browser does not show where to: let it follow, or ask there";
        return Err(Failure::new(Errno::Notsup, text));
    }
    let headers = Array::from(&response.headers());
    let text = |pair: &Array, at| pair.get(at).as_string().unwrap_or_default();
    let headers = headers.iter().map(|pair| {
        let pair = Array::from(&pair);
        (text(&pair, 0), text(&pair, 1))
    });
    let headers = headers.collect();
    let shown = request.redirect == Redirect::Show;
    Ok(Response {
        url: (!shown).then(|| response.url()),
        redirected: response.redirected(),
        status: response.status(),
        reason: response.status_text(),
        headers,
        body: Box::new(Body {
            reader: response.body().map(|body| body.get_reader()),
            reading: None,
            chunk: None,
            at: 0,
            copy: Vec::new(),
            _pending: pending,
        }),
    })
}

/// A body that is read from a stream, a chunk ahead of what is asked for: everything else stays with the browser.
struct Body {
    /// `None` at the end.
    reader: Option<Reader>,
    reading: Option<JsFuture>,
    chunk: Option<Uint8Array>,
    /// Bytes of the chunk that were given.
    at: u32,
    copy: Vec<u8>,
    _pending: Pending,
}

impl ResponseBody for Body {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        loop {
            if let Some(chunk) = &self.chunk {
                let left = chunk.length() - self.at;
                if left > 0 {
                    return Poll::Ready(Ok(left as usize));
                }
                self.chunk = None;
            }
            let Some(reader) = &self.reader else {
                return Poll::Ready(Ok(0));
            };
            let reading = self
                .reading
                .get_or_insert_with(|| JsFuture::from(reader.read()));
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            let read: Chunk = match read {
                Ok(read) => read.unchecked_into(),
                Err(error) => {
                    self.reader = None;
                    return Poll::Ready(Err(failure(&error)));
                }
            };
            if read.done() {
                self.reader = None;
            } else {
                (self.chunk, self.at) = (read.value(), 0);
                // The next one comes while the agent takes this one.
                self.reading = Some(JsFuture::from(reader.read()));
            }
        }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Failure>> {
        if ready!(self.poll_ready(context))? == 0 {
            return Poll::Ready(Ok(0));
        }
        let Some(chunk) = &self.chunk else {
            return Poll::Ready(Ok(0));
        };
        let mut total = 0;
        while sink.remaining() > 0 && self.at < chunk.length() {
            let left = (chunk.length() - self.at) as usize;
            let count = left.min(sink.remaining()).min(COPY);
            if self.copy.len() < count {
                self.copy.resize(count, 0);
            }
            chunk
                .subarray(self.at, self.at + count as u32)
                .copy_to(&mut self.copy[..count]);
            let put = sink.put(&self.copy[..count]);
            self.at += put as u32;
            total += put;
            if put < count {
                break;
            }
        }
        Poll::Ready(Ok(total))
    }
}
