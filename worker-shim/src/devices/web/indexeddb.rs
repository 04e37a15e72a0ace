//! An agent's databases in the origin's IndexedDB: one database for each name, whose keys and values are bytes.

use capfs::{BoxedFuture, Errno};
use capfs_devices::indexeddb::{Answer, Change, Decide, Space};
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    IdbCursor, IdbCursorDirection, IdbKeyRange, IdbObjectStore, IdbRequest, IdbTransactionMode,
};

use super::database::{Database, Stop, bytes, result, value, within};

/// The databases of the program with one name.
pub struct WebSpace(Database);

impl WebSpace {
    /// The databases of `owner`.
    pub fn new(owner: &str) -> WebSpace {
        WebSpace(Database::new(format!("capfs-databases/{owner}")))
    }
}

/// Keys from one to before another; `None` where there can be none.
fn range(low: &[u8], high: &[u8]) -> Result<Option<IdbKeyRange>, JsValue> {
    if low >= high {
        return Ok(None);
    }
    let (low, high) = (value(low), value(high));
    IdbKeyRange::bound_with_lower_open_and_upper_open(&low, &high, false, true).map(Some)
}

async fn backwards(
    store: &IdbObjectStore,
    range: &IdbKeyRange,
    limit: usize,
) -> Result<Vec<Vec<u8>>, JsValue> {
    let direction = IdbCursorDirection::Prev;
    let request = store.open_key_cursor_with_range_and_direction(range, direction)?;
    let mut keys = Vec::new();
    while keys.len() < limit {
        let cursor = result(&request).await?;
        let Some(cursor) = cursor.dyn_ref::<IdbCursor>() else {
            break;
        };
        keys.push(bytes(&cursor.key()?));
        cursor.continue_()?;
    }
    Ok(keys)
}

impl Space for WebSpace {
    fn get(&self, key: Vec<u8>) -> Answer<Option<Vec<u8>>> {
        let database = self.0.clone();
        let get = async move |store: IdbObjectStore| {
            let found = result(&store.get(&value(&key))?).await?;
            Ok((!found.is_undefined()).then(|| bytes(&found)))
        };
        Box::pin(async move { within(&database, IdbTransactionMode::Readonly, get).await })
    }

    fn keys(
        &self,
        low: Vec<u8>,
        high: Vec<u8>,
        limit: usize,
        reverse: bool,
    ) -> Answer<Vec<Vec<u8>>> {
        let database = self.0.clone();
        let list = async move |store: IdbObjectStore| {
            let Some(range) = range(&low, &high)? else {
                return Ok(Vec::new());
            };
            // Of a limit of 0, IndexedDB takes all.
            if reverse || limit == 0 {
                return Ok(backwards(&store, &range, limit).await?);
            }
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let keys = result(&store.get_all_keys_with_key_and_limit(&range, limit)?).await?;
            let keys = keys.unchecked_into::<Array>();
            Ok(keys.iter().map(|key| bytes(&key)).collect())
        };
        Box::pin(async move { within(&database, IdbTransactionMode::Readonly, list).await })
    }

    fn count(&self, low: Vec<u8>, high: Vec<u8>) -> Answer<u64> {
        let database = self.0.clone();
        let count = async move |store: IdbObjectStore| {
            let Some(range) = range(&low, &high)? else {
                return Ok(0);
            };
            let count = result(&store.count_with_key(&range)?).await?;
            Ok(count.as_f64().unwrap_or_default() as u64)
        };
        Box::pin(async move { within(&database, IdbTransactionMode::Readonly, count).await })
    }

    fn update(&self, reads: Vec<Vec<u8>>, decide: Box<dyn Decide>) -> Answer<()> {
        let database = self.0.clone();
        let update = async move |store: IdbObjectStore| {
            // All are asked before the first is waited for.
            let requests = reads.iter().map(|key| store.get(&value(key)));
            let requests = requests.collect::<Result<Vec<IdbRequest>, JsValue>>()?;
            let mut values = Vec::with_capacity(requests.len());
            if let Some(last) = requests.last() {
                // They are answered in their order.
                result(last).await?;
            }
            for request in &requests {
                let found = request.result()?;
                values.push((!found.is_undefined()).then(|| bytes(&found)));
            }
            for change in decide.decide(values)? {
                match change {
                    Change::Put(key, new) => {
                        store.put_with_key(&value(&new), &value(&key))?;
                    }
                    Change::Delete(key) => {
                        store.delete(&value(&key))?;
                    }
                    Change::DeleteRange(low, high) => {
                        if let Some(range) = range(&low, &high)? {
                            store.delete(&range)?;
                        }
                    }
                }
            }
            Ok::<(), Stop>(())
        };
        Box::pin(async move { within(&database, IdbTransactionMode::Readwrite, update).await })
    }

    fn detach(&self, future: BoxedFuture<Result<(), Errno>>) {
        spawn_local(async move {
            // Nobody is there who could be told.
            let _ = future.await;
        });
    }
}
