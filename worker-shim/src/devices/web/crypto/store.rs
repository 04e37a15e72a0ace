//! Where keys are kept: the database `capfs-keys` of the origin, with a record `OWNER/NAME` for each.
//!
//! `OWNER/` without a name is the key that seals secrets of BIP 340.

use std::rc::Rc;
use std::sync::Arc;

use capfs::Errno;
use capfs_devices::crypto::{Algorithm, Failure, Key, Material, Stored, Usages};
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{IdbKeyRange, IdbObjectStore, IdbTransactionMode};
use zeroize::Zeroizing;

use super::key::{Engine, WebKey, gcm};
use super::subtle::{self, bytes, from_buffer, object, property};
use crate::devices::web::database::{Database, Stop, result, within};
use crate::web;

const DATABASE: &str = "capfs-keys";

pub(super) struct Shelf {
    owner: String,
    database: Database,
}

fn damaged() -> Failure {
    Failure::new(Errno::Io, "the kept key is damaged")
}

impl Shelf {
    pub(super) fn new(owner: &str) -> Shelf {
        Shelf {
            owner: owner.to_owned(),
            database: Database::new(DATABASE.to_owned()),
        }
    }

    fn record(&self, name: &str) -> JsValue {
        JsValue::from_str(&format!("{}/{name}", self.owner))
    }

    async fn get(&self, name: &str) -> Result<Option<JsValue>, Failure> {
        let record = self.record(name);
        let get = async move |store: IdbObjectStore| Ok(result(&store.get(&record)?).await?);
        let value = within(&self.database, IdbTransactionMode::Readonly, get).await?;
        Ok(Some(value).filter(|value| !value.is_undefined()))
    }

    async fn put(&self, name: &str, value: JsValue, replace: bool) -> Result<(), Failure> {
        let record = self.record(name);
        let put = async move |store: IdbObjectStore| {
            let request = match replace {
                true => store.put_with_key(&value, &record)?,
                false => store.add_with_key(&value, &record)?,
            };
            result(&request).await?;
            Ok::<(), Stop>(())
        };
        within(&self.database, IdbTransactionMode::Readwrite, put).await
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, Failure> {
        let front = format!("{}/", self.owner);
        // `0` is the character behind `/`.
        let high = JsValue::from_str(&format!("{}0", self.owner));
        let low = self.record("");
        let list = async move |store: IdbObjectStore| {
            let range = IdbKeyRange::bound_with_lower_open_and_upper_open(&low, &high, true, true)?;
            Ok(result(&store.get_all_keys_with_key(&range)?).await?)
        };
        let keys = within(&self.database, IdbTransactionMode::Readonly, list).await?;
        let names = keys.unchecked_into::<Array>();
        let names = names.iter().filter_map(|name| name.as_string());
        Ok(names
            .filter_map(|name| Some(name.strip_prefix(&front)?.to_owned()))
            .collect())
    }

    /// The key that seals; with `make`, a new one where there is none.
    async fn seal(&self, make: bool) -> Result<JsValue, Failure> {
        if let Some(key) = self.get("").await? {
            return Ok(key);
        }
        if !make {
            return Err(Failure::new(Errno::Io, "the key that seals is missing"));
        }
        let parameters = object(&[("name", "AES-GCM".into()), ("length", 256.into())]);
        let key = subtle::generate(&parameters, &["encrypt", "decrypt"]).await?;
        match self.put("", key, false).await {
            // Another tab was faster.
            Err(failure) if failure.errno == Errno::Exist => {}
            outcome => outcome?,
        }
        self.get("").await?.ok_or_else(damaged)
    }

    pub(super) async fn load(&self, name: &str) -> Result<Option<Stored>, Failure> {
        let Some(record) = self.get(name).await? else {
            return Ok(None);
        };
        let text = |name| property(&record, name).as_string().ok_or_else(damaged);
        let present = |name| Some(property(&record, name)).filter(|value| !value.is_undefined());
        let algorithm = Algorithm::of_name(&text("algorithm")?).ok_or_else(damaged)?;
        let usages = Usages::parse(&text("usages")?).ok_or_else(damaged)?;
        let public = present("public").map(|public| from_buffer(&public));
        let key = match algorithm {
            Algorithm::SchnorrSecp256k1 => {
                let secret = match present("sealed") {
                    Some(sealed) => Some(self.unseal(name, &from_buffer(&sealed)).await?),
                    None => None,
                };
                let material = Material { secret, public };
                WebKey::import(algorithm, material)
                    .await
                    .map_err(|_| damaged())?
            }
            _ => WebKey {
                algorithm,
                public,
                engine: Engine::Web {
                    secret: present("secretKey"),
                    public: present("publicKey"),
                },
            },
        };
        let key = Arc::new(key);
        Ok(Some(Stored { key, usages }))
    }

    async fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let key = self.seal(false).await?;
        let (iv, sealed) = sealed.split_first_chunk().ok_or_else(damaged)?;
        let parameters = gcm(iv, name.as_bytes());
        subtle::decrypt(&parameters, &key, sealed, damaged)
            .await
            .map(Zeroizing::new)
    }

    pub(super) async fn save(
        &self,
        name: &str,
        key: &dyn Key,
        usages: Usages,
        replace: bool,
    ) -> Result<(), Failure> {
        let foreign = || Failure::new(Errno::Inval, "another store's key");
        let key: &WebKey = key.as_any().downcast_ref().ok_or_else(foreign)?;
        let mut record = vec![
            ("algorithm", JsValue::from_str(key.algorithm.name())),
            ("usages", JsValue::from_str(&usages.to_string())),
        ];
        if let Some(public) = &key.public {
            record.push(("public", bytes(public).into()));
        }
        match &key.engine {
            Engine::Web { secret, public } => {
                let keys = [("secretKey", secret), ("publicKey", public)];
                let keys = keys.into_iter();
                record.extend(keys.filter_map(|(name, key)| Some((name, key.clone()?))));
            }
            Engine::Schnorr(secret) => {
                let secret = Rc::clone(secret);
                let mut iv = [0; 12];
                web::random(&mut iv)
                    .map_err(|errno| Failure::new(errno, "the browser has no random numbers"))?;
                let seal = self.seal(true).await?;
                let sealed = subtle::encrypt(&gcm(&iv, name.as_bytes()), &seal, &secret.1).await?;
                record.push(("sealed", bytes(&[&iv[..], &sealed].concat()).into()));
            }
            Engine::SchnorrPublic(_) => {}
        }
        let outcome = self.put(name, object(&record), replace).await;
        outcome.map_err(|failure| match failure.errno {
            Errno::Exist => {
                Failure::new(Errno::Exist, format!("a key is kept as `{name}` already"))
            }
            _ => failure,
        })
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), Failure> {
        let record = self.record(name);
        let remove = async move |store: IdbObjectStore| {
            result(&store.delete(&record)?).await?;
            Ok::<(), Stop>(())
        };
        within(&self.database, IdbTransactionMode::Readwrite, remove).await
    }
}
