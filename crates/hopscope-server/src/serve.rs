//! The server, top to bottom.

use crate::api::{self, Api};
use crate::config::{Config, MEMORY, WalMode};
use crate::ingest::{Ingest, Sink};
use crate::ledger::Ledger;
use crate::listen::{self, Connections, Protocol};
use crate::live::Live;
use crate::receive::{Amqp, Kafka, Nats, OtlpGrpc, OtlpHttp, Receiver};
use crate::{Error, ErrorKind, storage};
use hopscope_store::Store;
use hopscope_store::embedded::{self, Embedded, Options};
use hopscope_store::memory::Memory;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Serves until `stop_signal`, then stops gracefully.
pub async fn serve(config: Config, stop_signal: impl Future<Output = ()>) -> Result<(), Error> {
    let running = Server::start(config).await?;
    stop_signal.await;
    running.stop().await
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// On the store that the configuration names. When it returns, all three sockets are bound.
    pub async fn start(config: Config) -> Result<Running, Error> {
        let store = Opened::open(&config).await?;
        Self::start_on(config, store).await
    }

    /// On a store that is open already; it is not closed at the end.
    pub async fn start_with(config: Config, store: Arc<dyn Store>) -> Result<Running, Error> {
        Self::start_on(config, Opened { store, embedded: None }).await
    }

    async fn start_on(config: Config, store: Opened) -> Result<Running, Error> {
        let sockets = Sockets::bind(&config).await?;
        let addresses = sockets.addresses()?;
        let live = Arc::new(Live::default());
        let ingest = Ingest::new(&config, Arc::clone(&store.store), Arc::clone(&live)).map_err(|source| {
            Error::new(ErrorKind::Usage, "wrong value setting=redact_values").because(source)
        })?;
        let mut books = Vec::new();
        let mut metrics = |receiver: &str| {
            let sink = ingest.sink(&format!("{receiver}_metrics"));
            books.push(Arc::clone(sink.ledger()));
            sink
        };
        let (grpc_metrics, http_metrics) = (metrics("otlp_grpc"), metrics("otlp_http"));
        let kafka = Kafka::all(&config, &mut metrics)?;
        let amqp = Amqp::all(&config, &mut metrics)?;
        let nats = Nats::all(&config, &mut metrics)?;
        let mut running = Running {
            addresses,
            config,
            store,
            ingest,
            ledgers: Vec::new(),
            receivers: TaskTracker::new(),
            stop_receivers: CancellationToken::new(),
            api: TaskTracker::new(),
            stop_api: CancellationToken::new(),
        };
        running.receive(OtlpGrpc::new(sockets.otlp_grpc, &running.config, grpc_metrics));
        running.receive(OtlpHttp::new(sockets.otlp_http, &running.config, http_metrics));
        kafka.into_iter().for_each(|receiver| running.receive(receiver));
        amqp.into_iter().for_each(|receiver| running.receive(receiver));
        nats.into_iter().for_each(|receiver| running.receive(receiver));
        running.ledgers.extend(books);
        running.answer(sockets.http, live);
        if let Some(embedded) = &running.store.embedded {
            let retained =
                storage::retain_until(Arc::clone(embedded), running.config.clone(), running.stop_api.clone());
            running.api.spawn(retained);
        }
        Ok(running)
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// API and web interface.
    pub http: SocketAddr,
}

/// A server at work. Dropped without [`Running::stop`] it goes on until its runtime ends.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    config: Config,
    store: Opened,
    ingest: Arc<Ingest>,
    ledgers: Vec<Arc<Ledger>>,
    receivers: TaskTracker,
    stop_receivers: CancellationToken,
    api: TaskTracker,
    stop_api: CancellationToken,
}

impl Running {
    /// The books of each receiver.
    pub fn ledgers(&self) -> &[Arc<Ledger>] {
        &self.ledgers
    }

    /// The entrance for a receiver that lives outside this crate.
    pub fn sink(&mut self, receiver: &str) -> Sink {
        let sink = self.ingest.sink(receiver);
        self.ledgers.push(Arc::clone(sink.ledger()));
        sink
    }

    /// Receivers stop and finish what they have, ingest drains, the store closes, the API says goodbye.
    pub async fn stop(self) -> Result<(), Error> {
        self.stop_receivers.cancel();
        self.receivers.close();
        self.receivers.wait().await;
        if !self.ingest.drain(self.config.stop_max()).await {
            tracing::warn!(
                "not everything under way was stored in time: its senders were told nothing and still have it"
            );
        }
        self.stop_api.cancel();
        self.api.close();
        self.api.wait().await;
        self.store.close().await
    }

    fn receive(&mut self, receiver: impl Receiver) {
        let sink = self.sink(receiver.name());
        self.receivers.spawn(receiver.run(sink, self.stop_receivers.clone()));
    }

    fn answer(&mut self, listener: TcpListener, live: Arc<Live>) {
        let api = Api::new(
            &self.config,
            self.addresses,
            &self.store.store,
            self.store.embedded.as_ref(),
            &self.ingest,
            &self.ledgers,
            live,
        );
        let connections = Connections::new(&self.config);
        let service = api::service(api, self.stop_api.clone());
        let stop = self.stop_api.clone();
        self.api.spawn(listen::serve(listener, Protocol::Http1, connections, service, stop));
    }
}

struct Sockets {
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
    http: TcpListener,
}

impl Sockets {
    async fn bind(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            otlp_grpc: listen::bind("otlp_grpc", config.otlp_grpc).await?,
            otlp_http: listen::bind("otlp_http", config.otlp_http).await?,
            http: listen::bind("listen", config.listen).await?,
        })
    }

    fn addresses(&self) -> Result<Addresses, Error> {
        let of = |listener: &TcpListener| {
            listener
                .local_addr()
                .map_err(|source| Error::new(ErrorKind::Internal, "a socket has no address").because(source))
        };
        Ok(Addresses {
            otlp_grpc: of(&self.otlp_grpc)?,
            otlp_http: of(&self.otlp_http)?,
            http: of(&self.http)?,
        })
    }
}

/// The store, and what has to be closed at the end.
struct Opened {
    store: Arc<dyn Store>,
    embedded: Option<Arc<Embedded>>,
}

impl Opened {
    async fn open(config: &Config) -> Result<Self, Error> {
        if config.data == MEMORY {
            return Ok(Self { store: Arc::new(Memory::new()), embedded: None });
        }
        let (data, options) = (config.data.clone(), options(config));
        // Replaying the log is blocking work.
        let opened = tokio::task::spawn_blocking(move || Embedded::open(data, options)).await;
        let opened = opened
            .map_err(|source| Error::new(ErrorKind::Internal, "opening the store failed").because(source))?;
        let embedded = Arc::new(opened.map_err(|source| Error::open(&config.data, source))?);
        Ok(Self { store: Arc::clone(&embedded) as Arc<dyn Store>, embedded: Some(embedded) })
    }

    async fn close(self) -> Result<(), Error> {
        let Some(embedded) = self.embedded else { return Ok(()) };
        embedded
            .close()
            .await
            .map_err(|source| Error::new(ErrorKind::Internal, "closing the store failed").because(source))
    }
}

fn wal_mode(config: &Config) -> embedded::WalMode {
    match config.wal_mode {
        WalMode::Sync => embedded::WalMode::Sync,
        WalMode::Interval => embedded::WalMode::Interval(Duration::from_millis(config.wal_interval_ms)),
        WalMode::None => embedded::WalMode::None,
    }
}

fn options(config: &Config) -> Options {
    Options {
        seal_rows: config.seal_rows,
        seal_bytes: config.seal_bytes as u64,
        table_bytes_max: config.table_bytes_max,
        compact_rows: config.compact_rows,
        compact_segments_max: config.compact_segments_max,
        metadata_bytes_max: config.metadata_bytes_max,
        block_bytes_max: config.block_bytes_max,
        files_open_max: config.files_open_max,
        read_bytes_max: config.read_bytes_max,
        read_threads_max: config.read_threads_max,
        wal_mode: wal_mode(config),
        disk_reserve_bytes: config.disk_reserve_bytes as u64,
        // What ingest let in is bounded already: the store's own limits must not be the narrower ones.
        wal_queue_bytes_max: config.queue_bytes_max,
        batch_bytes_max: config.queue_bytes_max,
        ..Options::default()
    }
}
