//! IndexedDB: one object store of an own database, and transactions that end by themselves.
//!
//! A transaction of IndexedDB is over as soon as nothing has been asked of it while a callback runs. An agent's call is
//! polled much later than that. So transactions run in tasks of their own ([`within`]), and the call waits for the task.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use capfs::Errno;
use capfs_devices::crypto::Failure;
use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{
    DomException, IdbDatabase, IdbFactory, IdbObjectStore, IdbRequest, IdbTransaction,
    IdbTransactionMode,
};

/// The one object store of each database.
const STORE: &str = "map";

/// A database, opened when it is first used.
#[derive(Clone)]
pub struct Database(Rc<Inner>);

struct Inner {
    name: String,
    open: RefCell<Option<IdbDatabase>>,
}

fn factory() -> Option<IdbFactory> {
    let factory = Reflect::get(&js_sys::global(), &"indexedDB".into()).ok()?;
    factory.is_object().then(|| factory.unchecked_into())
}

/// Whether this engine has databases; Node has none.
pub fn exists() -> bool {
    factory().is_some()
}

/// What an exception of the database means.
pub fn failure(error: &JsValue) -> Failure {
    let name = error.dyn_ref::<DomException>().map(DomException::name);
    let name = name.unwrap_or_else(|| "an error".to_owned());
    let errno = match name.as_str() {
        "ConstraintError" => Errno::Exist,
        "QuotaExceededError" => Errno::Nospc,
        _ => Errno::Io,
    };
    Failure::new(errno, format!("the browser's database says {name}"))
}

/// Waits for one of two callbacks.
async fn either(set: impl FnOnce(&Function, &Function)) -> bool {
    let mut set = Some(set);
    let promise = Promise::new(&mut |resolve, reject| {
        if let Some(set) = set.take() {
            set(&resolve, &reject);
        }
    });
    JsFuture::from(promise).await.is_ok()
}

/// The result of a request.
///
/// # Errors
/// The request's exception.
pub async fn result(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let succeeded = either(|resolve, reject| {
        request.set_onsuccess(Some(resolve));
        request.set_onerror(Some(reject));
    });
    match succeeded.await {
        true => request.result(),
        false => Err(request.error()?.map_or(JsValue::UNDEFINED, Into::into)),
    }
}

/// Bytes as a key or a value.
pub fn value(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

async fn open(name: &str) -> Result<IdbDatabase, JsValue> {
    let factory = factory().ok_or(JsValue::UNDEFINED)?;
    let request = factory.open_with_u32(name, 1)?;
    let made = request.clone();
    let upgrade = Closure::once(move |_: JsValue| {
        if let Ok(database) = made.result() {
            let database: IdbDatabase = database.unchecked_into();
            // If it fails, so does the first transaction.
            let _ = database.create_object_store(STORE);
        }
    });
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    let opened = either(|resolve, reject| {
        request.set_onsuccess(Some(resolve));
        request.set_onerror(Some(reject));
        // Somebody is deleting it.
        request.set_onblocked(Some(reject));
    });
    if !opened.await {
        let error = request.error();
        return Err(error.ok().flatten().map_or(JsValue::UNDEFINED, Into::into));
    }
    let database: IdbDatabase = request.result()?.unchecked_into();
    // Whoever deletes it (a user who clears the site's data) need not wait for us.
    let closing = database.clone();
    let close = Closure::once_into_js(move |_: JsValue| closing.close());
    database.set_onversionchange(Some(close.unchecked_ref()));
    Ok(database)
}

impl Database {
    /// The database with this name.
    pub fn new(name: String) -> Database {
        Database(Rc::new(Inner {
            name,
            open: RefCell::default(),
        }))
    }

    /// Begins a transaction. A connection that has been closed behind our back is opened again.
    async fn begin(&self, mode: IdbTransactionMode) -> Result<IdbTransaction, JsValue> {
        let known = self.0.open.borrow().clone();
        let begun = known.map(|database| database.transaction_with_str_and_mode(STORE, mode));
        if let Some(Ok(transaction)) = begun {
            return Ok(transaction);
        }
        let database = open(&self.0.name).await?;
        let transaction = database.transaction_with_str_and_mode(STORE, mode)?;
        *self.0.open.borrow_mut() = Some(database);
        Ok(transaction)
    }

    async fn run<T>(
        &self,
        mode: IdbTransactionMode,
        work: impl AsyncFnOnce(IdbObjectStore) -> Result<T, Stop>,
        course: &Course,
    ) -> Result<T, Failure> {
        let failed = |error: JsValue| failure(&error);
        let transaction = self.begin(mode).await.map_err(failed)?;
        course.begun(&transaction);
        let store = transaction.object_store(STORE).map_err(failed)?;
        let ending = either(|resolve, reject| {
            transaction.set_oncomplete(Some(resolve));
            transaction.set_onabort(Some(reject));
        });
        let outcome = work(store).await;
        let value = match outcome {
            Ok(value) => value,
            Err(stop) => {
                // It may have ended by the error itself.
                let _ = transaction.abort();
                return Err(match stop {
                    Stop::Failed(failure) => failure,
                    Stop::Thrown(error) => failure(&error),
                });
            }
        };
        match ending.await {
            true => Ok(value),
            false => Err(failed(
                transaction.error().map_or(JsValue::UNDEFINED, Into::into),
            )),
        }
    }
}

/// Why a transaction is given up.
pub enum Stop {
    /// For a reason of the device's own.
    Failed(Failure),
    /// The database has thrown.
    Thrown(JsValue),
}

impl From<JsValue> for Stop {
    fn from(error: JsValue) -> Stop {
        Stop::Thrown(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// How far a transaction is: whoever waits for it can give it up.
#[derive(Default)]
struct Course {
    given_up: Cell<bool>,
    transaction: RefCell<Option<IdbTransaction>>,
}

impl Course {
    /// It has begun. One that was given up before that does nothing.
    fn begun(&self, transaction: &IdbTransaction) {
        match self.given_up.get() {
            // What is asked of it from now on fails.
            true => drop(transaction.abort()),
            false => *self.transaction.borrow_mut() = Some(transaction.clone()),
        }
    }

    /// It is over, whatever became of it.
    fn ended(&self) {
        self.transaction.borrow_mut().take();
    }
}

/// Gives a transaction up that nobody waits for any more.
struct GiveUp(Rc<Course>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.given_up.set(true);
        if let Some(transaction) = self.0.transaction.borrow_mut().take() {
            // It may be on its way to its end already.
            let _ = transaction.abort();
        }
    }
}

/// Runs a transaction in a task of its own. It has been committed when the answer comes. Where the answer is dropped before that, the
/// transaction is given up: nothing changes, unless its commit is on its way.
///
/// # Errors
/// What `work` stops with, or why the transaction could not be committed. Nothing has changed then.
pub async fn within<T: 'static>(
    database: &Database,
    mode: IdbTransactionMode,
    work: impl AsyncFnOnce(IdbObjectStore) -> Result<T, Stop> + 'static,
) -> Result<T, Failure> {
    let database = database.clone();
    let outcome = Rc::new(RefCell::new(None));
    let slot = outcome.clone();
    let course = Rc::new(Course::default());
    let _give_up = GiveUp(course.clone());
    let task = future_to_promise(async move {
        let done = database.run(mode, work, &course).await;
        course.ended();
        *slot.borrow_mut() = Some(done);
        Ok(JsValue::UNDEFINED)
    });
    let _ = JsFuture::from(task).await;
    let outcome = outcome.borrow_mut().take();
    outcome.unwrap_or_else(|| Err(Failure::new(Errno::Io, "the transaction was lost")))
}
