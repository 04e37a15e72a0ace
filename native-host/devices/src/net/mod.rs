//! The network, as capabilities use it: one runtime for what waits, one way to connect.

pub(crate) mod budget;
mod connect;
mod driver;
mod failure;
mod stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use capfs::BoxedFuture;
use capfs::device::parts::lock;
use capfs_devices::origin::Origin;
use capfs_devices::outside::Outside;
use capfs_devices::url::Url;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;

pub use connect::{ConnectError, Connector, errno_of};
use driver::Detached;
pub use driver::{Driver, Nudge};
pub use failure::{failure, is_too_large};
pub use stream::NetStream;

/// Threads that do the network's work for all agents of a host, where no agent's thread does it.
const THREADS: usize = 2;

/// Names that a host has looked up at a time, for all devices of all agents: each takes a thread and a socket for as long as the system's
/// resolver waits, whoever has given up meanwhile. The others wait for their turn.
pub const LOOKUPS_MAX: usize = 64;

/// Finds the addresses of a host.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, each with `port`.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
}

/// The system's resolver (getaddrinfo(3)).
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// What can be chosen about the network.
pub struct NetworkOptions {
    /// Finds addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Certificates that are trusted beside the system's.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        NetworkOptions {
            resolver: Arc::new(SystemResolver),
            roots: Vec::new(),
        }
    }
}

/// The network of a host, to be shared by its agents. It is started with the first device.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    options: NetworkOptions,
    /// The runtime that it is part of, where it has none of its own.
    within: Option<Handle>,
    runtime: OnceLock<Option<Arc<Detached>>>,
    /// Whether it is to be started without threads. Locked while it is started.
    driven: Mutex<bool>,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    lookups: Arc<Semaphore>,
    began: Instant,
}

impl Default for Network {
    fn default() -> Self {
        Network::new(NetworkOptions::default())
    }
}

impl Network {
    /// The network with these options, which has threads of its own.
    pub fn new(options: NetworkOptions) -> Network {
        Network::with(options, false, None)
    }

    /// The network with these options as a part of a runtime that has its timers and sockets switched on.
    pub fn within(runtime: Handle, options: NetworkOptions) -> Network {
        Network::with(options, false, Some(runtime))
    }

    /// The network with these options, which works as far as its [driver](Network::driver) does its work. One that has not been started when its
    /// driver is asked for has threads of its own.
    pub fn driven(options: NetworkOptions) -> Network {
        Network::with(options, true, None)
    }

    fn with(options: NetworkOptions, driven: bool, within: Option<Handle>) -> Network {
        Network(Arc::new(Shared {
            options,
            within,
            runtime: OnceLock::new(),
            driven: Mutex::new(driven),
            tls: OnceLock::new(),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            began: Instant::now(),
        }))
    }

    fn resolver(&self) -> &dyn Resolve {
        &*self.0.options.resolver
    }

    /// The turns of lookups.
    fn lookups(&self) -> &Arc<Semaphore> {
        &self.0.lookups
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// The system gives no threads, or no descriptors.
    pub fn start(&self) -> io::Result<()> {
        self.handle().map(|_| ())
    }

    /// Takes the driver of a network that is [driven](Network::driven), once; none where it has threads, now or when it is started.
    ///
    /// # Errors
    /// The system gives no timer for it.
    pub fn driver(&self) -> io::Result<Option<Driver>> {
        let driven = std::mem::take(&mut *lock(&self.0.driven));
        match self.0.runtime.get() {
            Some(Some(runtime)) if driven => Driver::new(runtime.clone()).map(Some),
            _ => Ok(None),
        }
    }

    /// The runtime's handle.
    ///
    /// # Errors
    /// The system gives no threads, or no descriptors.
    pub fn handle(&self) -> io::Result<&Handle> {
        if let Some(runtime) = &self.0.within {
            return Ok(runtime);
        }
        let made = || {
            let driven = lock(&self.0.driven);
            self.0.runtime.get_or_init(|| {
                let mut builder = match *driven {
                    true => Builder::new_current_thread(),
                    false => Builder::new_multi_thread(),
                };
                let runtime = builder
                    .worker_threads(THREADS)
                    .max_blocking_threads(LOOKUPS_MAX)
                    .thread_name("capfs-network")
                    .enable_all()
                    .build();
                runtime.ok().map(Detached::new).map(Arc::new)
            })
        };
        let runtime = self.0.runtime.get().unwrap_or_else(made);
        let none = || io::Error::other("the system gives no threads for the network");
        runtime
            .as_ref()
            .map(|runtime| runtime.handle())
            .ok_or_else(none)
    }

    /// How TLS is spoken: certificates are checked against the system's roots and those of the options.
    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        self.0
            .tls
            .get_or_init(|| connect::tls_config(&self.0.options.roots))
            .clone()
    }

    /// Runs a future to its end, whoever waits for it; the network must have been [started](Network::start).
    pub fn spawn(&self, future: BoxedFuture<()>) {
        if let Ok(handle) = self.handle() {
            handle.spawn(future);
        }
    }

    /// Ends after so many milliseconds.
    pub fn sleep(&self, millis: u64) -> BoxedFuture<()> {
        match self.handle() {
            Ok(handle) => {
                let _entered = handle.enter();
                let sleep = tokio::time::sleep(Duration::from_millis(millis));
                // Who waits for it with something that is always ready has used up its task's turn, in which a timer never ends.
                Box::pin(tokio::task::unconstrained(sleep))
            }
            Err(_) => Box::pin(std::future::ready(())),
        }
    }

    /// Milliseconds since the network was made.
    pub fn now(&self) -> u64 {
        self.0.began.elapsed().as_millis() as u64
    }
}

/// The network, as devices see it.
pub struct Net(pub Network);

impl Outside for Net {
    fn parse(&self, text: &str, base: Option<&Url>) -> Option<Url> {
        parse_url(text, base)
    }

    fn spawn(&self, future: BoxedFuture<()>) {
        self.0.spawn(future);
    }

    fn sleep(&self, millis: u64) -> BoxedFuture<()> {
        self.0.sleep(millis)
    }

    fn now(&self) -> u64 {
        self.0.now()
    }
}

/// Parses a URL by the standard.
fn parse_url(text: &str, base: Option<&Url>) -> Option<Url> {
    let mut url = match base {
        Some(base) => url::Url::parse(&base.href).ok()?.join(text).ok()?,
        None => url::Url::parse(text).ok()?,
    };
    // The standard has it in the path percent-encode set (https://url.spec.whatwg.org/#path-percent-encode-set), and the parser not yet.
    if url.path().contains('^') {
        let path = url.path().replace('^', "%5E");
        url.set_path(&path);
    }
    let known = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
    Some(Url {
        origin: Origin {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            // What has no port is refused for its scheme.
            port: url.port_or_known_default().filter(|_| known).unwrap_or(0),
        },
        path: url.path().to_owned(),
        query: url.query().map(str::to_owned),
        fragment: url.fragment().map(str::to_owned),
        credentials: !url.username().is_empty() || url.password().is_some(),
        href: url.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Poll;

    use capfs::Errno;
    use capfs_devices::outside::Failure;

    use super::*;

    #[test]
    fn a_timer_ends_beside_what_is_always_ready() {
        let network = Network::default();
        let handle = network.handle().unwrap().clone();
        let timed = network.clone();
        let (tell, told) = mpsc::channel();
        handle.spawn(async move {
            let mut timer = timed.sleep(20);
            // As a stream does that a server never lets wait: it gives up its turn only because that is used up.
            let mut busy: BoxedFuture<Result<(), Failure>> = Box::pin(async {
                loop {
                    tokio::task::consume_budget().await;
                }
            });
            let ended = std::future::poll_fn(move |context| {
                if let Poll::Ready(ended) = busy.as_mut().poll(context) {
                    return Poll::Ready(ended.map_err(|failure| failure.errno));
                }
                let elapsed = timer.as_mut().poll(context);
                elapsed.map(|()| Err(Errno::Timedout))
            });
            tell.send(ended.await).unwrap();
        });
        let ended = told.recv_timeout(Duration::from_secs(20));
        assert_eq!(ended, Ok(Err(Errno::Timedout)));
    }

    #[test]
    fn a_circumflex_in_a_path_is_written_as_in_browsers() {
        let base = parse_url("https://a.example/one^/two", None).unwrap();
        assert_eq!(base.href, "https://a.example/one%5E/two");
        for (text, href) in [
            ("^?x^y#z^", "https://a.example/one%5E/%5E?x^y#z^"),
            ("/%5e^%25^", "https://a.example/%5e%5E%25%5E"),
            ("http://b.example/?^", "http://b.example/?^"),
            ("wss://b.example/^/../^", "wss://b.example/%5E"),
            ("#^", "https://a.example/one%5E/two#^"),
        ] {
            let url = parse_url(text, Some(&base)).unwrap();
            assert_eq!(url.href, href, "{text}");
            assert!(!url.path.contains('^'), "{text}");
            // A second time it is the same.
            assert_eq!(parse_url(&url.href, None).as_ref(), Some(&url));
        }
    }
}
