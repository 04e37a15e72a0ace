//! `crypto.subtle`, as far as keys need it.

use capfs::Errno;
use capfs_devices::crypto::Failure;
use js_sys::{Array, ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// Absent on a page that is not a secure context.
    #[wasm_bindgen(thread_local_v2, js_namespace = crypto, js_name = subtle)]
    static SUBTLE: Option<Subtle>;

    #[derive(Clone)]
    type Subtle;
    #[wasm_bindgen(method, catch, js_name = generateKey)]
    fn generate_key(
        this: &Subtle,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = importKey)]
    fn import_key(
        this: &Subtle,
        format: &str,
        data: &Uint8Array,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = exportKey)]
    fn export_key(this: &Subtle, format: &str, key: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn sign(
        this: &Subtle,
        algorithm: &JsValue,
        key: &JsValue,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn verify(
        this: &Subtle,
        algorithm: &JsValue,
        key: &JsValue,
        signature: &Uint8Array,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn encrypt(
        this: &Subtle,
        algorithm: &JsValue,
        key: &JsValue,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn decrypt(
        this: &Subtle,
        algorithm: &JsValue,
        key: &JsValue,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deriveBits)]
    fn derive_bits(
        this: &Subtle,
        algorithm: &JsValue,
        key: &JsValue,
        bits: u32,
    ) -> Result<Promise, JsValue>;
}

/// An object with these properties.
pub(super) fn object(properties: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in properties {
        // A new object takes every property.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

/// A property; `undefined` where there is none.
pub(super) fn property(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &JsValue::from_str(name)).unwrap_or_default()
}

pub(super) fn bytes(of: &[u8]) -> Uint8Array {
    Uint8Array::from(of)
}

/// The bytes of an `ArrayBuffer` or a view of one.
pub(super) fn from_buffer(value: &JsValue) -> Vec<u8> {
    match value.dyn_ref::<ArrayBuffer>() {
        Some(buffer) => Uint8Array::new(buffer).to_vec(),
        None => value
            .dyn_ref::<Uint8Array>()
            .map_or_else(Vec::new, Uint8Array::to_vec),
    }
}

/// The name of an exception, such as `NotSupportedError`.
pub(super) fn exception(error: &JsValue) -> String {
    property(error, "name").as_string().unwrap_or_default()
}

/// What an exception means where the operation gives it no meaning of its own.
fn failure(error: &JsValue) -> Failure {
    let name = exception(error);
    let (errno, text) = match name.as_str() {
        "NotSupportedError" => (Errno::Notsup, "this browser lacks the algorithm".to_owned()),
        "DataError" | "SyntaxError" => (Errno::Inval, "no such key can be".to_owned()),
        _ => (Errno::Io, format!("the browser says {name}")),
    };
    Failure::new(errno, text)
}

fn subtle() -> Result<Subtle, Failure> {
    SUBTLE.with(Clone::clone).ok_or_else(|| {
        let text = "the Web Crypto API is there on secure pages alone (https, localhost)";
        Failure::new(Errno::Notsup, text)
    })
}

async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, Failure> {
    let promise = promise.map_err(|error| failure(&error))?;
    JsFuture::from(promise)
        .await
        .map_err(|error| failure(&error))
}

/// As [`settled`], where an `OperationError` means something.
async fn settled_or(
    promise: Result<Promise, JsValue>,
    operation: impl FnOnce() -> Failure,
) -> Result<JsValue, Failure> {
    let outcome = match promise {
        Ok(promise) => JsFuture::from(promise).await,
        Err(error) => Err(error),
    };
    outcome.map_err(|error| match exception(&error).as_str() {
        "OperationError" => operation(),
        _ => failure(&error),
    })
}

fn names(usages: &[&str]) -> Array {
    usages
        .iter()
        .map(|usage| JsValue::from_str(usage))
        .collect()
}

/// How often a key is tried to be made. WebKitGTK fails with an `OperationError` at one of a hundred Ed25519 keys, and makes the next
/// (measured: 15 of 1,500).
const TRIES: usize = 8;

pub(super) async fn generate(algorithm: &JsValue, usages: &[&str]) -> Result<JsValue, Failure> {
    let (subtle, usages) = (subtle()?, names(usages));
    let mut failed = Failure::new(Errno::Io, "this browser makes no key");
    for _ in 0..TRIES {
        match settled(subtle.generate_key(algorithm, false, &usages)).await {
            Err(failure) if failure.errno == Errno::Io => failed = failure,
            made => return made,
        }
    }
    Err(failed)
}

pub(super) async fn import(
    format: &str,
    data: &[u8],
    algorithm: &JsValue,
    extractable: bool,
    usages: &[&str],
) -> Result<JsValue, Failure> {
    let data = bytes(data);
    let promise = subtle()?.import_key(format, &data, algorithm, extractable, &names(usages));
    // Engines say this, too, of what is no key.
    let refused = || Failure::new(Errno::Inval, "no such key can be");
    let key = settled_or(promise, refused).await;
    // It may have been a secret.
    data.fill(0, 0, data.length());
    key
}

pub(super) async fn export(format: &str, key: &JsValue) -> Result<JsValue, Failure> {
    settled(subtle()?.export_key(format, key)).await
}

pub(super) async fn sign(
    algorithm: &JsValue,
    key: &JsValue,
    data: &[u8],
) -> Result<Vec<u8>, Failure> {
    let signature = settled(subtle()?.sign(algorithm, key, &bytes(data))).await?;
    Ok(from_buffer(&signature))
}

pub(super) async fn verify(
    algorithm: &JsValue,
    key: &JsValue,
    signature: &[u8],
    data: &[u8],
) -> Result<bool, Failure> {
    let promise = subtle()?.verify(algorithm, key, &bytes(signature), &bytes(data));
    Ok(settled(promise).await?.is_truthy())
}

pub(super) async fn encrypt(
    algorithm: &JsValue,
    key: &JsValue,
    data: &[u8],
) -> Result<Vec<u8>, Failure> {
    let sealed = settled(subtle()?.encrypt(algorithm, key, &bytes(data))).await?;
    Ok(from_buffer(&sealed))
}

pub(super) async fn decrypt(
    algorithm: &JsValue,
    key: &JsValue,
    data: &[u8],
    damaged: impl FnOnce() -> Failure,
) -> Result<Vec<u8>, Failure> {
    let text = settled_or(subtle()?.decrypt(algorithm, key, &bytes(data)), damaged).await?;
    Ok(from_buffer(&text))
}

pub(super) async fn derive(
    algorithm: &JsValue,
    key: &JsValue,
    length: usize,
    refused: impl FnOnce() -> Failure,
) -> Result<Vec<u8>, Failure> {
    let promise = subtle()?.derive_bits(algorithm, key, length as u32 * 8);
    Ok(from_buffer(&settled_or(promise, refused).await?))
}
