//! An agent's databases in the origin's IndexedDB: one database for each name, whose keys and values are bytes.

use capfs::account::Account;
use capfs_devices::indexeddb::{Answer, Change, Decide, Held, Reading, Space};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    IdbCursor, IdbCursorDirection, IdbKeyRange, IdbObjectStore, IdbRequest, IdbTransactionMode,
};

use super::database::{Database, Stop, result, value, within};

/// Values that are asked for at once. How long one is is known when it is in the page's memory, before it is charged and copied into
/// the kernel's.
const VALUES: usize = 4;

/// Keys that are asked for at once, likewise.
const KEYS: usize = 1000;

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

/// A value that was found, if one was.
fn found_value(found: &JsValue, reading: &mut Reading) -> Result<Option<Vec<u8>>, Stop> {
    if found.is_undefined() {
        return Ok(None);
    }
    let bytes = Uint8Array::new(found);
    reading.value(bytes.length() as usize)?;
    Ok(Some(bytes.to_vec()))
}

fn found_key(found: &JsValue, reading: &mut Reading) -> Result<Vec<u8>, Stop> {
    let bytes = Uint8Array::new(found);
    reading.key(bytes.length() as usize)?;
    Ok(bytes.to_vec())
}

async fn forwards(
    store: &IdbObjectStore,
    (mut low, high): (Vec<u8>, Vec<u8>),
    limit: usize,
    reading: &mut Reading,
) -> Result<Vec<Vec<u8>>, Stop> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while keys.len() < limit {
        let Some(range) = range(&low, &high)? else {
            break;
        };
        let piece = (limit - keys.len()).min(KEYS);
        let asked = u32::try_from(piece).unwrap_or(u32::MAX);
        let found = result(&store.get_all_keys_with_key_and_limit(&range, asked)?).await?;
        let found = found.unchecked_into::<Array>();
        for key in found.iter() {
            keys.push(found_key(&key, reading)?);
        }
        if (found.length() as usize) < piece {
            break;
        }
        // On behind the last one: itself and a zero.
        low.clear();
        low.extend_from_slice(keys.last().map_or(&[][..], Vec::as_slice));
        low.push(0);
    }
    Ok(keys)
}

async fn backwards(
    store: &IdbObjectStore,
    range: &IdbKeyRange,
    limit: usize,
    reading: &mut Reading,
) -> Result<Vec<Vec<u8>>, Stop> {
    let direction = IdbCursorDirection::Prev;
    let request = store.open_key_cursor_with_range_and_direction(range, direction)?;
    let mut keys = Vec::new();
    while keys.len() < limit {
        let cursor = result(&request).await?;
        let Some(cursor) = cursor.dyn_ref::<IdbCursor>() else {
            break;
        };
        keys.push(found_key(&cursor.key()?, reading)?);
        cursor.continue_()?;
    }
    Ok(keys)
}

impl Space for WebSpace {
    fn get(&self, key: Vec<u8>, account: &Account) -> Answer<Option<Held<Vec<u8>>>> {
        let (database, account) = (self.0.clone(), account.clone());
        let get = async move |store: IdbObjectStore| {
            let found = result(&store.get(&value(&key))?).await?;
            let mut reading = Reading::new(&account);
            let value = found_value(&found, &mut reading)?;
            Ok(value.map(|value| reading.held(value)))
        };
        Box::pin(async move { within(&database, IdbTransactionMode::Readonly, get).await })
    }

    fn size(&self, key: Vec<u8>) -> Answer<Option<u64>> {
        let database = self.0.clone();
        let get = async move |store: IdbObjectStore| {
            let found = result(&store.get(&value(&key))?).await?;
            let size = || u64::from(Uint8Array::new(&found).length());
            Ok((!found.is_undefined()).then(size))
        };
        Box::pin(async move { within(&database, IdbTransactionMode::Readonly, get).await })
    }

    fn keys(
        &self,
        low: Vec<u8>,
        high: Vec<u8>,
        limit: usize,
        reverse: bool,
        account: &Account,
    ) -> Answer<Held<Vec<Vec<u8>>>> {
        let (database, account) = (self.0.clone(), account.clone());
        let list = async move |store: IdbObjectStore| {
            let mut reading = Reading::new(&account);
            let keys = match (reverse, range(&low, &high)?) {
                (_, None) => Vec::new(),
                (true, Some(range)) => backwards(&store, &range, limit, &mut reading).await?,
                (false, Some(_)) => forwards(&store, (low, high), limit, &mut reading).await?,
            };
            Ok(reading.held(keys))
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

    fn update(
        &self,
        reads: Vec<Vec<u8>>,
        account: &Account,
        decide: Box<dyn Decide>,
    ) -> Answer<()> {
        let (database, account) = (self.0.clone(), account.clone());
        let update = async move |store: IdbObjectStore| {
            let mut reading = Reading::new(&account);
            let mut values = Vec::with_capacity(reads.len());
            for reads in reads.chunks(VALUES) {
                // All of them are asked before the first is waited for.
                let requests = reads.iter().map(|key| store.get(&value(key)));
                let requests = requests.collect::<Result<Vec<IdbRequest>, JsValue>>()?;
                if let Some(last) = requests.last() {
                    // They are answered in their order.
                    result(last).await?;
                }
                for request in &requests {
                    values.push(found_value(&request.result()?, &mut reading)?);
                }
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
}
