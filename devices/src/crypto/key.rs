//! A key's files: its `ctl`, what it is, and what it is used for.

use std::sync::{Arc, Mutex, Weak};

use capfs::account::{Buffer, Charge, Holding};
use capfs::device::conversations::{Dialogue, LastError};
use capfs::device::parts::lock;
use capfs::device::synthetic::SyntheticBuilder;
use capfs::{Errno, NodeRef, Op};
use zeroize::Zeroizing;

use super::MESSAGE_MAX;
use super::host::{Algorithm, Failure, Request, Usage, Usages};
use super::material;
use super::names::{Names, is_name};
use super::slot::{Held, Shared, Slot, has_a_key};
use crate::exchange::{self, Exchange};
use crate::hex;

/// Bytes that one `derive` of `hkdf` gives at most: 255 blocks of SHA-256.
pub const DERIVE_MAX: usize = 255 * 32;

/// Bytes of an initialisation vector.
const IV: usize = 12;

/// Bytes of a tag of AES-GCM.
const TAG: usize = 16;

/// What `ctl` sets for the operations.
struct Parameters {
    iv: Option<[u8; IV]>,
    auxiliary: Option<[u8; 32]>,
    additional: Vec<u8>,
    salt: Vec<u8>,
    info: Vec<u8>,
    length: usize,
    peer: Option<[u8; 32]>,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            iv: None,
            auxiliary: None,
            additional: Vec::new(),
            salt: Vec::new(),
            info: Vec::new(),
            length: 32,
            peer: None,
        }
    }
}

struct Inner {
    shared: Arc<Shared>,
    names: Weak<Names>,
    slot: Arc<Slot>,
    error: LastError,
    parameters: Mutex<Parameters>,
    /// What `usage` said before there was a key.
    wanted: Mutex<Option<Usages>>,
}

/// A conversation about one key.
pub(super) struct Conversation(Arc<Inner>);

fn no_key() -> Failure {
    Failure::new(Errno::Inval, "there is no key yet: generate or import one")
}

fn invalid(text: impl Into<String>) -> Failure {
    Failure::new(Errno::Inval, text)
}

/// Reads a parameter of a fixed length.
fn digits<const N: usize>(command: &str, text: &str) -> Result<[u8; N], Failure> {
    let bytes = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
    let digits = N * 2;
    bytes.ok_or_else(|| invalid(format!("`{command}` takes {digits} hexadecimal digits")))
}

fn bytes(command: &str, text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text).ok_or_else(|| invalid(format!("`{command}` takes hexadecimal digits")))
}

impl Conversation {
    pub(super) fn new(
        shared: &Arc<Shared>,
        names: Weak<Names>,
        slot: Arc<Slot>,
    ) -> Arc<Conversation> {
        Arc::new(Conversation(Arc::new(Inner {
            shared: shared.clone(),
            names,
            slot,
            error: LastError::default(),
            parameters: Mutex::default(),
            wanted: Mutex::default(),
        })))
    }

    /// The directory of a key that is known by its name.
    pub(super) fn named_directory(conversation: Arc<Conversation>) -> NodeRef {
        let commands = conversation.clone();
        let builder = conversation
            .0
            .shared
            .device
            .directory()
            .ctl("ctl", move |line: &str| commands.command(line))
            .text("name", {
                let inner = conversation.0.clone();
                move || inner.slot.name().unwrap_or_default()
            });
        conversation.add_files(builder).build()
    }

    fn add_files(&self, builder: SyntheticBuilder) -> SyntheticBuilder {
        let held = |text: fn(&Held) -> String| {
            let inner = self.0.clone();
            move || {
                let inner = inner.clone();
                Op::run(async move {
                    let held = inner.slot.held(&inner.shared).await;
                    match inner.explained(held)? {
                        Some(held) => Ok(text(&held)),
                        None => Ok(String::new()),
                    }
                })
            }
        };
        let error = self.0.clone();
        let mut builder = builder
            .text(
                "type",
                held(|held| {
                    let kind = if held.key.secret() {
                        "secret"
                    } else {
                        "public"
                    };
                    format!("{} {kind}", held.key.algorithm().name())
                }),
            )
            .text("usages", held(|held| held.usages.to_string()))
            .text(
                "pub",
                held(|held| {
                    let public = held.key.public();
                    public.map_or_else(String::new, |public| hex::encode(&public))
                }),
            )
            .text("error", move || error.error.text());
        for usage in Usage::ALL {
            let inner = self.0.clone();
            let begin = move || Question {
                inner: inner.clone(),
                usage,
                input: Buffer::new(inner.shared.device.account(), Holding::Descriptors),
            };
            builder = builder.node(usage.name(), exchange::node(&self.0.shared.device, begin));
        }
        builder
    }
}

impl Dialogue for Conversation {
    fn command(&self, line: &str) -> Op<()> {
        // It may carry a secret.
        let (inner, line) = (self.0.clone(), Zeroizing::new(line.to_owned()));
        Op::run(async move {
            let outcome = inner.command(&line).await;
            inner.explained(outcome)
        })
    }

    fn files(self: Arc<Self>) -> SyntheticBuilder {
        let inner = self.0.clone();
        let name = move || inner.slot.name().unwrap_or_default();
        let directory = self.0.shared.device.directory();
        self.add_files(directory.text("name", name))
    }
}

impl Inner {
    fn explained<T>(&self, outcome: Result<T, Failure>) -> Result<T, Errno> {
        outcome.map_err(|failure| self.error.explain(failure.errno, failure.text))
    }

    async fn command(&self, line: &str) -> Result<(), Failure> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        let set = |change: &mut dyn FnMut(&mut Parameters)| change(&mut lock(&self.parameters));
        match command {
            "generate" => self.generate(rest).await?,
            "import" => self.import(rest).await?,
            "usage" => self.usage(rest).await?,
            "name" => self.name(rest).await?,
            "delete" if rest.is_empty() => self.delete().await?,
            "iv" => {
                let iv = digits(command, rest)?;
                set(&mut |parameters| parameters.iv = Some(iv));
            }
            "aux" => {
                let auxiliary = digits(command, rest)?;
                set(&mut |parameters| parameters.auxiliary = Some(auxiliary));
            }
            "peer" => {
                let peer = digits(command, rest)?;
                set(&mut |parameters| parameters.peer = Some(peer));
            }
            "aad" => {
                let additional = bytes(command, rest)?;
                set(&mut |parameters| parameters.additional.clone_from(&additional));
            }
            "salt" => {
                let salt = bytes(command, rest)?;
                set(&mut |parameters| parameters.salt.clone_from(&salt));
            }
            "info" => {
                let info = bytes(command, rest)?;
                set(&mut |parameters| parameters.info.clone_from(&info));
            }
            "length" => {
                let length = rest.parse().ok();
                let length = length.filter(|length| (1..=DERIVE_MAX).contains(length));
                let length = length.ok_or_else(|| {
                    invalid(format!("`length` takes a number from 1 to {DERIVE_MAX}"))
                })?;
                set(&mut |parameters| parameters.length = length);
            }
            _ => {
                return Err(invalid(
                    "there are the commands generate, import, usage, name, delete, iv, aad, aux, salt, info, length, peer",
                ));
            }
        }
        Ok(())
    }

    fn algorithm(&self, name: &str) -> Result<Algorithm, Failure> {
        let algorithm = Algorithm::of_name(name).ok_or_else(|| {
            let names = Algorithm::ALL.map(Algorithm::name).join(", ");
            invalid(format!("there is no algorithm `{name}`; there are {names}"))
        })?;
        match self.shared.policy.allows(algorithm) {
            true => Ok(algorithm),
            false => Err(Failure::new(
                Errno::Acces,
                format!("`{name}` is not granted"),
            )),
        }
    }

    fn fill(&self, key: Arc<dyn super::host::Key>) -> Result<(), Failure> {
        let mut usages = key.algorithm().usages(key.secret());
        if let Some(wanted) = *lock(&self.wanted) {
            usages = usages.and(wanted);
        }
        self.slot.fill(key, usages)
    }

    async fn generate(&self, name: &str) -> Result<(), Failure> {
        let algorithm = self.algorithm(name)?;
        if !self.slot.is_empty() {
            return Err(has_a_key());
        }
        self.fill(self.shared.store.generate(algorithm).await?)
    }

    async fn import(&self, rest: &str) -> Result<(), Failure> {
        let mut words = rest.splitn(3, ' ');
        let (Some(format), Some(name), data) = (words.next(), words.next(), words.next()) else {
            return Err(invalid("expected import FORMAT ALGORITHM DATA"));
        };
        let algorithm = self.algorithm(name)?;
        if !self.slot.is_empty() {
            return Err(has_a_key());
        }
        let material = material::read(format, algorithm, data.unwrap_or_default().trim())?;
        if material.secret.is_some() && !self.shared.policy.may_import() {
            let text = "secrets can't be imported under this grant, only public keys";
            return Err(Failure::new(Errno::Acces, text));
        }
        let public = material.public.clone();
        let key = self.shared.store.import(algorithm, material).await?;
        // A signature under the wrong public key can give the secret away.
        if public.is_some() && key.public() != public {
            return Err(invalid("the public key does not belong to the secret"));
        }
        self.fill(key)
    }

    async fn usage(&self, list: &str) -> Result<(), Failure> {
        let wanted = Usages::parse(list).ok_or_else(|| {
            let names = Usage::ALL.map(Usage::name).join(",");
            invalid(format!("`usage` takes a list of {names}"))
        })?;
        let Some(held) = self.slot.held(&self.shared).await? else {
            *lock(&self.wanted) = Some(wanted);
            return Ok(());
        };
        if !held.usages.has_all(wanted) {
            let text = format!(
                "usages can be taken away, not added; there are {}",
                held.usages
            );
            return Err(Failure::new(Errno::Acces, text));
        }
        if let Some(name) = &held.name {
            let store = &self.shared.store;
            store.save(name, &held.key, wanted, true).await?;
        }
        self.slot.change(|held| held.usages = wanted);
        Ok(())
    }

    async fn name(&self, name: &str) -> Result<(), Failure> {
        if !self.shared.policy.may_persist() {
            let text = "keys can't be kept under this grant";
            return Err(Failure::new(Errno::Acces, text));
        }
        if !self.shared.store.persists() {
            let text = "this host keeps no keys: it was given no place for them";
            return Err(Failure::new(Errno::Notsup, text));
        }
        if !is_name(name) {
            return Err(invalid(
                "a name has 1 to 64 of a-z, 0-9, `.`, `_`, `-`, and does not begin with a dot",
            ));
        }
        let held = self.slot.held(&self.shared).await?.ok_or_else(no_key)?;
        if let Some(name) = held.name {
            let text = format!("the key is kept as `{name}` already");
            return Err(Failure::new(Errno::Exist, text));
        }
        let names = self.names.upgrade();
        let names = names.ok_or_else(|| Failure::new(Errno::Nodev, "the device is gone"))?;
        let max = self.shared.policy.keys();
        if names.count().await? >= max {
            let text = format!("{max} keys are kept already");
            return Err(Failure::new(Errno::Dquot, text));
        }
        let store = &self.shared.store;
        store.save(name, &held.key, held.usages, false).await?;
        self.slot.change(|held| held.name = Some(name.to_owned()));
        names.keep(name, &self.slot);
        Ok(())
    }

    async fn delete(&self) -> Result<(), Failure> {
        if self.slot.is_empty() {
            return Err(no_key());
        }
        if let Some(name) = self.slot.name() {
            self.shared.store.remove(&name).await?;
            if let Some(names) = self.names.upgrade() {
                names.forget(&name);
            }
        }
        self.slot.take();
        Ok(())
    }

    /// Does what was asked through one of the files.
    async fn perform(&self, usage: Usage, input: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        let held = self.slot.held(&self.shared).await?.ok_or_else(no_key)?;
        let algorithm = held.key.algorithm();
        let (name, verb) = (algorithm.name(), usage.name());
        if !algorithm.usages(true).has(usage) {
            return Err(invalid(format!("keys of `{name}` have no {verb}")));
        }
        if !algorithm.usages(held.key.secret()).has(usage) {
            let text = format!("a public key can't {verb}");
            return Err(Failure::new(Errno::Acces, text));
        }
        if !held.usages.has(usage) {
            let text = format!("the key may not {verb}; its usages are {}", held.usages);
            return Err(Failure::new(Errno::Acces, text));
        }
        let (request, front) = self.request(usage, algorithm, input)?;
        let answer = held.key.perform(request).await?;
        Ok(match usage {
            Usage::Sign | Usage::Derive => (hex::encode(&answer) + "\n").into_bytes(),
            Usage::Verify if answer == [1] => b"valid\n".to_vec(),
            Usage::Verify => b"invalid\n".to_vec(),
            Usage::Encrypt => [front, answer].concat(),
            Usage::Decrypt => answer,
        })
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        let filled = self.shared.entropy.fill(&mut bytes);
        filled.map_err(|errno| Failure::new(errno, "the host has no random numbers"))?;
        Ok(bytes)
    }

    /// The request with its parameters, and what stands in front of the answer.
    fn request(
        &self,
        usage: Usage,
        algorithm: Algorithm,
        input: Zeroizing<Vec<u8>>,
    ) -> Result<(Request, Vec<u8>), Failure> {
        let mut parameters = lock(&self.parameters);
        let mut front = Vec::new();
        let request = match usage {
            Usage::Sign => {
                let auxiliary = match algorithm {
                    Algorithm::SchnorrSecp256k1 => match parameters.auxiliary.take() {
                        Some(auxiliary) => auxiliary,
                        None => self.random()?,
                    },
                    _ => [0; 32],
                };
                Request::Sign {
                    message: input.to_vec(),
                    auxiliary,
                }
            }
            Usage::Verify => {
                let end = input.iter().position(|byte| *byte == b'\n');
                let line = end.and_then(|end| str::from_utf8(&input[..end]).ok());
                let signature = line.and_then(|line| hex::decode(line.trim()));
                let (Some(end), Some(signature)) = (end, signature) else {
                    return Err(invalid(
                        "expected a line with the signature in hexadecimal digits, then the message",
                    ));
                };
                Request::Verify {
                    message: input[end + 1..].to_vec(),
                    signature,
                }
            }
            Usage::Encrypt => {
                // Used once: the same vector twice would give the key's authentication away.
                let iv = match parameters.iv.take() {
                    Some(iv) => iv,
                    None => self.random()?,
                };
                front = iv.to_vec();
                Request::Encrypt {
                    iv,
                    additional: parameters.additional.clone(),
                    text: input.to_vec(),
                }
            }
            Usage::Decrypt => {
                let short = || {
                    let text = "shorter than an initialisation vector and a tag";
                    Failure::new(Errno::Badmsg, text)
                };
                let (iv, ciphertext) = input.split_first_chunk::<IV>().ok_or_else(short)?;
                if ciphertext.len() < TAG {
                    return Err(short());
                }
                Request::Decrypt {
                    iv: *iv,
                    additional: parameters.additional.clone(),
                    ciphertext: ciphertext.to_vec(),
                }
            }
            Usage::Derive if !input.is_empty() => {
                return Err(invalid("`derive` takes its parameters by `ctl` alone"));
            }
            Usage::Derive if algorithm == Algorithm::X25519 => Request::Agree {
                peer: parameters
                    .peer
                    .ok_or_else(|| invalid("no `peer` has been set"))?,
            },
            Usage::Derive => Request::Expand {
                salt: parameters.salt.clone(),
                info: parameters.info.clone(),
                length: parameters.length,
            },
        };
        Ok((request, front))
    }
}

/// What an operation takes while it is done, in bytes for each of its question: the question, a copy that the host works on,
/// and the answer.
const WORKING: u64 = 3;

/// Bytes that an answer may have beside those of its question: signatures, tags, secrets that are derived.
const ANSWER: u64 = 4 << 10;

/// Said of a question that there is no memory for.
const NO_ROOM: &str = "the agent may not hold that much";

/// What is asked of a key through one descriptor.
struct Question {
    inner: Arc<Inner>,
    usage: Usage,
    input: Buffer,
}

impl Question {
    /// Takes what was gathered out of it.
    fn gathered(&mut self) -> (Zeroizing<Vec<u8>>, Charge) {
        let (input, charge) = self.input.take();
        (Zeroizing::new(input), charge)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        drop(self.gathered());
    }
}

impl Exchange for Question {
    /// # Errors
    /// - [`Errno::Msgsize`]: more than [`MESSAGE_MAX`] bytes; the question is dropped
    /// - [`Errno::Nomem`]: more than the agent has room for; so it is
    fn take(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.input.len() + bytes.len() > MESSAGE_MAX {
            drop(self.gathered());
            let text = format!("more than {MESSAGE_MAX} bytes in one message");
            return Err(self.inner.error.explain(Errno::Msgsize, text));
        }
        self.input.extend(bytes).map_err(|errno| {
            drop(self.gathered());
            self.inner.error.explain(errno, NO_ROOM)
        })
    }

    fn answer(&mut self) -> Op<(Vec<u8>, Charge)> {
        let (input, mut charge) = self.gathered();
        let (inner, usage) = (self.inner.clone(), self.usage);
        if let Err(errno) = charge.resize(WORKING * input.len() as u64 + ANSWER) {
            return Op::err(inner.error.explain(errno, NO_ROOM));
        }
        Op::run(async move {
            let outcome = inner.perform(usage, input).await;
            let answer = inner.explained(outcome)?;
            let held = charge.resize(answer.capacity() as u64);
            held.map_err(|errno| inner.error.explain(errno, NO_ROOM))?;
            Ok((answer, charge))
        })
    }
}
