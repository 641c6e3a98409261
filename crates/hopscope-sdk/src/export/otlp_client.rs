//! [`OtlpClient`]: an endpoint that takes OTLP, over HTTP or gRPC.

use super::compress::Compression;
use super::target::Verdict;
use super::tls::{self, Connector, Tls};
use super::{grpc, http};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// Where and how, for one signal.
#[derive(Debug)]
pub(crate) struct Options {
    pub protocol: Protocol,
    /// With the whole path.
    pub uri: Uri,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub timeout: Duration,
    pub compression: Compression,
    pub tls: Tls,
}

/// The endpoint for one signal. Keeps its connection, and makes a new one where it is lost.
#[derive(Debug)]
pub(crate) struct OtlpClient {
    client: Client<Connector, Full<Bytes>>,
    protocol: Protocol,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
    compression: Compression,
}

/// An answer that is longer is none of OTLP's.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl OtlpClient {
    /// # Errors
    /// The certificates cannot be used.
    pub fn new(options: Options) -> Result<Self, tls::Error> {
        let Options { protocol, uri, headers: own, timeout, compression, tls } = options;
        let connector = tls::connector(&tls, &uri, protocol)?;
        let mut client = Client::builder(TokioExecutor::new());
        client.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_max_idle_per_host(1);
        client.http2_only(protocol == Protocol::Grpc);
        Ok(Self {
            client: client.build(connector),
            protocol,
            uri,
            headers: headers(protocol, own, timeout, compression),
            timeout,
            compression,
        })
    }

    /// Sends one encoded request.
    pub async fn send(&self, request: &[u8]) -> Verdict {
        match tokio::time::timeout(self.timeout, self.call(request)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Verdict::later(told(&*error)),
            Err(_) => Verdict::later(format_args!("no answer in {:?}", self.timeout)),
        }
    }

    async fn call(&self, request: &[u8]) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
        let body = self.compression.apply(request)?;
        let body = match self.protocol {
            Protocol::Grpc => grpc::frame(&body, self.compression.name().is_some()),
            Protocol::Http => body.into_owned(),
        };
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        let trailers = body.trailers().cloned();
        let body = body.to_bytes();
        Ok(match self.protocol {
            Protocol::Grpc => grpc::verdict(head.status, &head.headers, &body, trailers.as_ref()),
            Protocol::Http => http::verdict(head.status, &head.headers, &body),
        })
    }
}

/// The application's headers first: it cannot break the protocol with them.
fn headers(
    protocol: Protocol,
    own: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    compression: Compression,
) -> HeaderMap {
    let mut headers = HeaderMap::from_iter(own);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let encoding = compression.name().map(HeaderValue::from_static);
    match protocol {
        Protocol::Http => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            encoding.map(|encoding| headers.insert(CONTENT_ENCODING, encoding));
        }
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            encoding.map(|encoding| headers.insert("grpc-encoding", encoding));
            // At most eight digits.
            let milliseconds = timeout.as_millis().clamp(1, 99_999_999);
            if let Ok(timeout) = HeaderValue::from_str(&format!("{milliseconds}m")) {
                headers.insert("grpc-timeout", timeout);
            }
        }
    }
    headers
}

const AGENT: &str = concat!("hopscope-sdk/", env!("CARGO_PKG_VERSION"));

/// An error with its causes: the outermost of a client says little.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
