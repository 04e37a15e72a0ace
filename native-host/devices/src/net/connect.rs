//! Connecting: the name is resolved, each address is put to the policy, and what is connected to is
//! put to it again. Nothing is taken from the environment: there is no proxy.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use capfs::Errno;
use capfs_devices::address::Addresses;
use capfs_devices::fetch::host::Failure;
use capfs_devices::origin::Origin;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{NetStream, Network};

/// How long an address has the attempt for itself before the next one is tried beside it
/// ([RFC 8305, section 8](https://www.rfc-editor.org/rfc/rfc8305#section-8)).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long a connection may take to come about, TLS included, whoever waits for it: hyper's pool goes on with one that it has begun.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// Names that one device has looked up at a time. A lookup can't be given up, and goes on for nobody where its request is over; so many
/// that never end leave those of other devices their turn (see [`LOOKUPS_MAX`](super::LOOKUPS_MAX)).
const LOOKUPS_OF_DEVICE: usize = 8;

/// Addresses of a name that are tried, at most.
const ADDRESSES_MAX: usize = 16;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The policy lets none of the name's addresses through.
    #[error("`{host}` leads to an address that is not public and not granted")]
    Refused {
        /// The name.
        host: String,
        /// One of its addresses, which is the audit's to know and not the agent's.
        address: IpAddr,
    },
    /// The name has no address.
    #[error("`{host}` can't be resolved: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// Nothing answers as it should.
    #[error("can't connect to `{host}`: {error}")]
    Connect {
        /// The name.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// TLS can't be spoken with the server, or it is not who it should be.
    #[error("no TLS with `{host}`: {error}")]
    Tls {
        /// The name.
        host: String,
        /// Why.
        error: String,
    },
}

impl ConnectError {
    /// What an agent learns.
    pub fn failure(&self) -> Failure {
        let errno = match self {
            ConnectError::Refused { .. } => Errno::Acces,
            ConnectError::Resolve { .. } => Errno::Hostunreach,
            ConnectError::Connect { error, .. } => errno_of(error),
            ConnectError::Tls { .. } => Errno::Proto,
        };
        let failure = Failure::new(errno, self.to_string());
        match self {
            ConnectError::Refused { host, address } => {
                failure.hiding(format!("`{host}` is at {address}"))
            }
            _ => failure,
        }
    }
}

/// What a guest sees of an error of the network.
pub fn errno_of(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Errno::Connrefused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Errno::Connreset,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Errno::Hostunreach,
        io::ErrorKind::NetworkDown => Errno::Netdown,
        io::ErrorKind::TimedOut => Errno::Timedout,
        io::ErrorKind::InvalidData => Errno::Proto,
        _ => Errno::Io,
    }
}

/// Connects to what a policy lets through.
#[derive(Clone)]
pub struct Connector {
    network: Network,
    addresses: Arc<dyn Addresses>,
    lookups: Arc<Semaphore>,
}

impl Connector {
    /// A connector that asks `addresses`.
    pub fn new(network: Network, addresses: Arc<dyn Addresses>) -> Connector {
        Connector {
            network,
            addresses,
            lookups: Arc::new(Semaphore::new(LOOKUPS_OF_DEVICE)),
        }
    }

    /// Connects to an origin's server, with TLS where its scheme says so. `protocols` are offered by ALPN.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        &self,
        origin: &Origin,
        protocols: &[&[u8]],
    ) -> Result<NetStream, ConnectError> {
        let connecting = self.connect_in_time(origin, protocols);
        let connected = tokio::time::timeout(CONNECT_MAX, connecting).await;
        connected.unwrap_or_else(|_| {
            let error = io::Error::from(io::ErrorKind::TimedOut);
            let host = origin.host.clone();
            Err(ConnectError::Connect { host, error })
        })
    }

    async fn connect_in_time(
        &self,
        origin: &Origin,
        protocols: &[&[u8]],
    ) -> Result<NetStream, ConnectError> {
        let addresses = self.resolve(origin).await?;
        let tcp = attempt(addresses)
            .await
            .map_err(|error| ConnectError::Connect {
                host: origin.host.clone(),
                error,
            })?;
        let peer = tcp.peer_addr().map_err(|error| ConnectError::Connect {
            host: origin.host.clone(),
            error,
        })?;
        self.check(origin, peer.ip())?;
        // Small requests must not wait for each other's acknowledgement.
        let _ = tcp.set_nodelay(true);
        match &*origin.scheme {
            "https" | "wss" => self.encrypt(origin, tcp, protocols).await,
            _ => Ok(NetStream::Plain(tcp)),
        }
    }

    fn check(&self, origin: &Origin, address: IpAddr) -> Result<(), ConnectError> {
        match self.addresses.allowed(origin, address) {
            true => Ok(()),
            false => Err(ConnectError::Refused {
                host: origin.host.clone(),
                address,
            }),
        }
    }

    /// The addresses of a name. Whoever waits for its turn leaves with its request; a lookup that has begun keeps its turn until it ends.
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let turn = |lookups: &Arc<Semaphore>| lookups.clone().acquire_owned();
        let mine = turn(&self.lookups).await.map_err(io::Error::other)?;
        let one = turn(self.network.lookups())
            .await
            .map_err(io::Error::other)?;
        let lookup = self.network.resolver().resolve(host, port);
        let looking = self.network.handle()?.spawn(async move {
            let found = lookup.await;
            drop((mine, one));
            found
        });
        looking.await.map_err(io::Error::other)?
    }

    /// The addresses of an origin that may be connected to; at least one.
    async fn resolve(&self, origin: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
        let literal = origin.host.trim_matches(['[', ']']).parse::<IpAddr>();
        let found = match literal {
            Ok(address) => vec![SocketAddr::new(address, origin.port)],
            Err(_) => {
                let found = self.look_up(&origin.host, origin.port).await;
                found.map_err(|error| ConnectError::Resolve {
                    host: origin.host.clone(),
                    error,
                })?
            }
        };
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.check(origin, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => refused = Some(error),
            }
        }
        allowed.truncate(ADDRESSES_MAX);
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(error)) => Err(error),
            (true, None) => Err(ConnectError::Resolve {
                host: origin.host.clone(),
                error: io::Error::other("it has no address"),
            }),
        }
    }

    async fn encrypt(
        &self,
        origin: &Origin,
        tcp: TcpStream,
        protocols: &[&[u8]],
    ) -> Result<NetStream, ConnectError> {
        let failed = |error: String| ConnectError::Tls {
            host: origin.host.clone(),
            error,
        };
        let mut config = self.network.tls().map_err(failed)?;
        if !protocols.is_empty() {
            let mut own = ClientConfig::clone(&config);
            own.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config = Arc::new(own);
        }
        let name = origin.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(error.to_string()))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        Ok(NetStream::Tls(Box::new(stream)))
    }
}

/// Connects to the first address that answers; each is given a head start over the next.
async fn attempt(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut left = addresses.into_iter();
    let mut last = io::Error::other("there was no address to connect to");
    loop {
        match left.next() {
            Some(address) => {
                attempts.spawn(TcpStream::connect(address));
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let ended = match left.len() {
            0 => attempts.join_next().await,
            _ => tokio::time::timeout(ATTEMPT_DELAY, attempts.join_next())
                .await
                .unwrap_or(None),
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = error,
            Some(Err(error)) => last = error.into(),
            None => {}
        }
    }
}

/// How TLS is spoken.
pub(super) fn tls_config(roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    // Certificates of the system that can't be read are left out, as by every other client.
    let system = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(system.certs);
    for root in roots {
        store.add(root.clone()).map_err(|error| error.to_string())?;
    }
    if store.is_empty() {
        return Err(
            "this system trusts no certificate authority: install ca-certificates".to_owned(),
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
