//! Sockets: bound with a clear error, served under limits, closed gracefully.

use crate::Error;
use crate::config::Config;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A header section may be this large.
const HEADERS_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;
/// Requests on one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 128;
/// HTTP/2: a peer that is silent is asked whether it is there, and has as long again to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After a failed accept (no file descriptors left), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS and with prior knowledge, as gRPC does it.
    Http2,
}

/// Limits of the connections of one socket.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    max: usize,
    header_read_max: Duration,
    stop_max: Duration,
}

impl Connections {
    /// Its part of the configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            max: config.connections_max,
            header_read_max: Duration::from_millis(config.header_read_ms_max),
            stop_max: config.stop_max(),
        }
    }
}

/// Listens on `address`, which the setting of that name gave.
pub async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::listen(setting, address, source))
}

/// Serves connections until `stop`; then lets requests under way finish, for as long as is allowed.
pub async fn serve<S, B>(
    listener: TcpListener,
    protocol: Protocol,
    limits: Connections,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let builder = Arc::new(builder(protocol, limits.header_read_max));
    let permits = Arc::new(Semaphore::new(limits.max));
    let open = TaskTracker::new();
    while let Some((stream, permit)) = next(&listener, &permits, &stop).await {
        let (builder, service, stop) = (Arc::clone(&builder), service.clone(), stop.clone());
        open.spawn(async move {
            let first = peek_first_byte(&stream, limits.header_read_max);
            if first.await {
                connection(&builder, stream, service, &stop, limits.stop_max).await;
            }
            drop(permit);
        });
    }
    drop(listener);
    open.close();
    // Each connection keeps to `stop_max` itself; the same again is for scheduling.
    let _ = tokio::time::timeout(limits.stop_max * 2, open.wait()).await;
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, Permit)> {
    loop {
        let accepted = async {
            let permit = Arc::clone(permits).acquire_owned().await.ok();
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = stop.cancelled() => return None,
            (accepted, permit) = accepted => match accepted {
                Ok((stream, _)) => return Some((stream, permit?)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// A connection on which nothing is ever sent must not be held for ever, whatever protocol it would speak.
async fn peek_first_byte(stream: &TcpStream, wait_max: Duration) -> bool {
    let mut byte = [0];
    matches!(tokio::time::timeout(wait_max, stream.peek(&mut byte)).await, Ok(Ok(1)))
}

fn builder(protocol: Protocol, header_read_max: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_read_max)
        .max_buf_size(HEADERS_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    }
}

async fn connection<S, B>(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    service: S,
    stop: &CancellationToken,
    stop_max: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    // Answers are small and awaited: they must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        done = connection.as_mut() => return closed(done),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    if let Ok(done) = tokio::time::timeout(stop_max, connection).await {
        closed(done);
    }
}

fn closed(done: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended early");
    }
}
