//! What the page asks of a namespace's files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::{Context, Poll};

use capfs::{BoxedFuture, Errno, Stat};
use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{machine, named};
use crate::files;
use crate::protocol::{FileEntry, FileRequest, FileStat, JsFileRequest, JsFileStat};
use crate::remote::server;
use crate::wake::waker;
use crate::web;

/// Asks for something about the namespace's files; `answer(error, value)` is called once, at once
/// or from a later [`advance`], unless [`cancel`] is with the same `number`. `max` bounds the bytes of `read`, see [`files::read`]; for `program` see [`files::read_program`].
/// `list` answers with `FileEntry`s, `stat` with `FileStat`.
///
/// # Errors
/// - `EBUSY`: a request with this number was not answered yet
#[wasm_bindgen]
pub fn request(
    number: u32,
    what: JsFileRequest,
    path: &str,
    bytes: Option<Vec<u8>>,
    max: Option<f64>,
    #[wasm_bindgen(unchecked_param_type = "(error: string | null, value: unknown) => void")] answer: Function,
) -> Result<(), JsValue> {
    if REQUESTS.with_borrow(|requests| requests.contains_key(&number)) {
        return Err(named(Errno::Busy));
    }
    web::look();
    let namespace = machine(|machine| Ok(machine.namespace.clone()))?;
    let path = relative(path);
    let result: BoxedFuture<Result<JsValue, Errno>> = match FileRequest::of(&what)? {
        FileRequest::Read => Box::pin(async move {
            let read = files::read(namespace, path, max.map(|max| max as u64)).await?;
            Ok(Uint8Array::from(read.as_slice()).into())
        }),
        FileRequest::Program => Box::pin(async move {
            let read = files::read_program(namespace, path).await?;
            Ok(Uint8Array::from(read.as_slice()).into())
        }),
        FileRequest::Write => Box::pin(async move {
            files::write(namespace, path, bytes.unwrap_or_default()).await?;
            Ok(JsValue::UNDEFINED)
        }),
        FileRequest::List => Box::pin(async move {
            let listed = files::list(namespace, path).await?;
            let entries = listed.into_iter().map(|entry| {
                let kind = entry.kind as u32;
                let name = entry.name;
                JsValue::from(FileEntry { name, kind }.told())
            });
            Ok(entries.collect::<Array>().into())
        }),
        FileRequest::Stat => {
            Box::pin(async move { Ok(told(&files::stat(namespace, path).await?).into()) })
        }
        FileRequest::MakeDir => Box::pin(async move {
            files::make_directory(namespace, path).await?;
            Ok(JsValue::UNDEFINED)
        }),
        FileRequest::Remove => Box::pin(async move {
            files::remove(namespace, path).await?;
            Ok(JsValue::UNDEFINED)
        }),
    };
    let request = Request {
        work: Some(result),
        answer,
    };
    REQUESTS.with_borrow_mut(|requests| requests.insert(number, request));
    advance();
    Ok(())
}

/// Something that was asked for.
struct Request {
    /// Taken out while it is polled: what it does may come back here, with a new request, or to give one up that waits, itself included.
    work: Option<BoxedFuture<Result<JsValue, Errno>>>,
    answer: Function,
}

thread_local! {
    /// Requests that were not answered yet, by number.
    static REQUESTS: RefCell<BTreeMap<u32, Request>> = const { RefCell::new(BTreeMap::new()) };
}

/// Gives a request up that waits, and closes what it had open; its answer isn't called any more. Whether it waited.
#[wasm_bindgen]
pub fn cancel(number: u32) -> bool {
    // Dropped when nothing is borrowed: what a device does then may come back here.
    let given_up = REQUESTS.with_borrow_mut(|requests| requests.remove(&number));
    given_up.is_some()
}

/// Goes on with every request that waits. To be called whenever something has arrived.
#[wasm_bindgen]
pub fn advance() {
    server::advance();
    let latest = REQUESTS.with_borrow(|requests| requests.keys().next_back().copied());
    let mut from = Some(0);
    // One after the other, as they may come and go meanwhile; those that come are polled where they come.
    while let (Some(least), Some(latest)) = (from, latest) {
        let next = REQUESTS.with_borrow(|requests| {
            let mut waiting = requests.range(least..);
            waiting.next().map(|(number, _)| *number)
        });
        let next = next.filter(|number| *number <= latest);
        if let Some(number) = next {
            poll(number);
        }
        from = next.and_then(|number| number.checked_add(1));
    }
}

/// Polls a request, and answers it if it has ended. Nothing is borrowed meanwhile.
fn poll(number: u32) {
    let work = REQUESTS.with_borrow_mut(|requests| requests.get_mut(&number)?.work.take());
    let Some(mut work) = work else {
        // It is polled already, and has come back here.
        return;
    };
    let mut context = Context::from_waker(waker());
    let Poll::Ready(result) = work.as_mut().poll(&mut context) else {
        let given_up = REQUESTS.with_borrow_mut(|requests| match requests.get_mut(&number) {
            Some(request) => {
                request.work = Some(work);
                None
            }
            None => Some(work),
        });
        return drop(given_up);
    };
    // Closed before anybody is told that it is done.
    drop(work);
    let Some(Request { answer, .. }) =
        REQUESTS.with_borrow_mut(|requests| requests.remove(&number))
    else {
        return;
    };
    // What the answer's receiver throws is its own affair.
    let _ = match result {
        Ok(value) => answer.call2(&JsValue::NULL, &JsValue::NULL, &value),
        Err(errno) => answer.call2(&JsValue::NULL, &named(errno), &JsValue::UNDEFINED),
    };
}

fn told(stat: &Stat) -> JsFileStat {
    let millis = |nanos: u64| nanos as f64 / 1e6;
    FileStat {
        kind: stat.qid.kind as u32,
        size: stat.size as f64,
        mtime: millis(stat.mtime),
        atime: millis(stat.atime),
        ctime: millis(stat.ctime),
        nlink: stat.nlink as f64,
        ino: stat.qid.path as f64,
    }
    .told()
}

/// A page's path, as one below the root: where the namespace's own root is the base, an absolute
/// path would leave it.
pub fn relative(path: &str) -> String {
    let below = path.trim_start_matches('/');
    if below.is_empty() {
        ".".to_owned()
    } else {
        below.to_owned()
    }
}
