//! URLs, as the browser parses them.

use capfs_devices::origin::{Origin, default_port};
use capfs_devices::url::Url;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = URL)]
    type JsUrl;
    #[wasm_bindgen(constructor, js_class = "URL", catch)]
    fn new(text: &str, base: Option<&str>) -> Result<JsUrl, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn href(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn username(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn password(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn hostname(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn port(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn pathname(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn search(this: &JsUrl) -> String;
    #[wasm_bindgen(method, getter)]
    fn hash(this: &JsUrl) -> String;
}

/// Parses a URL, relative to `base` where there is one.
pub fn parse(text: &str, base: Option<&Url>) -> Option<Url> {
    let url = JsUrl::new(text, base.map(|base| base.href.as_str())).ok()?;
    let scheme = url.protocol().trim_end_matches(':').to_owned();
    let behind = |text: String, mark: char| text.strip_prefix(mark).map(str::to_owned);
    Some(Url {
        href: url.href(),
        origin: Origin {
            host: url.hostname(),
            port: url
                .port()
                .parse()
                .ok()
                .or(default_port(&scheme))
                .unwrap_or(0),
            scheme,
        },
        path: url.pathname(),
        query: behind(url.search(), '?'),
        fragment: behind(url.hash(), '#'),
        credentials: !url.username().is_empty() || !url.password().is_empty(),
    })
}
