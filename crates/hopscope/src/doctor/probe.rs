//! One endpoint, tried as an exporter would: name, connection, TLS, and an export of nothing.

use super::clock_finding;
use super::speech::{self, Speech};
use hopscope_client::api::Finding;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Longest wait for a connection, and for an answer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// An answer that is longer is none of OTLP's.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// `Date` has whole seconds.
const DATE_NS_MAX: i64 = 2_000_000_000;

/// An empty body, gzipped.
const NOTHING_GZIPPED: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// How OTLP is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Target {
    /// As it was given.
    pub url: String,
    /// Whole.
    pub uri: Uri,
    pub protocol: Protocol,
    pub headers: Vec<(String, String)>,
    /// Roots to trust instead of the system's, PEM.
    pub certificate: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    pub url: String,
    pub protocol: &'static str,
    /// What worked, in order: `resolved`, `connected`, `tls`, `answered`, `accepted`, `gzip`.
    pub steps: Vec<&'static str>,
    #[serde(skip)]
    pub finding: Option<Finding>,
}

/// An answer, whatever the protocol.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Bytes,
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Tries one endpoint.
pub async fn probe(target: &Target) -> Tried {
    let mut tried =
        Tried { url: target.url.clone(), protocol: target.protocol.name(), steps: Vec::new(), finding: None };
    tried.finding = steps(target, &mut tried.steps).await.err().map(|found| *found);
    tried
}

async fn steps(target: &Target, done: &mut Vec<&'static str>) -> Result<(), Box<Finding>> {
    let host = target.uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_tls = target.uri.scheme_str() == Some("https");
    let port = target.uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(unresolved(target, host, &error)),
    };
    done.push("resolved");
    let at = connect(target, &addresses).await?;
    done.push("connected");
    if is_tls {
        tls(target, host, at).await.map_err(|(error, heard)| tls_failed(target, &error, heard))?;
        done.push("tls");
    }
    let answer = match export(target, host, at, is_tls, false).await {
        Ok(answer) => answer,
        Err(error) => return Err(no_answer(target, &*error, speech::heard(at).await)),
    };
    done.push("answered");
    judge(target, &answer)?;
    done.push("accepted");
    if let Ok(answer) = export(target, host, at, is_tls, true).await {
        if judge(target, &answer).is_err() {
            return Err(no_gzip(target, &answer));
        }
        done.push("gzip");
    }
    match skew_ns(&answer) {
        Some(skew_ns) if skew_ns.abs() > DATE_NS_MAX => Err(Box::new(clock_finding(skew_ns, &target.url))),
        _ => Ok(()),
    }
}

async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<SocketAddr, Box<Finding>> {
    let mut why = "it has no address".to_owned();
    for at in addresses {
        match tokio::time::timeout(WAIT_MAX, TcpStream::connect(at)).await {
            Ok(Ok(_)) => return Ok(*at),
            Ok(Err(error)) => why = told(&error),
            Err(_) => why = format!("no answer in {} s", WAIT_MAX.as_secs()),
        }
    }
    let text = format!("nothing accepts a connection at {}: {why}", target.url);
    let next = "is it running, and listening on that address and port (not on loopback only)? From a container, localhost is \
                the container itself; a firewall or network policy lets a connection hang instead of refusing it";
    Err(found("endpoint_unreachable", target, text, next, &why))
}

async fn tls(
    target: &Target,
    host: &str,
    at: SocketAddr,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, (BoxError, Speech)> {
    let connected = async {
        let config = tls_config(target)?;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TcpStream::connect(at).await?;
        Ok::<_, BoxError>(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    };
    match tokio::time::timeout(WAIT_MAX, connected).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err((error, speech::heard(at).await)),
        Err(_) => Err(("no answer to the TLS handshake".into(), speech::heard(at).await)),
    }
}

fn tls_config(target: &Target) -> Result<rustls::ClientConfig, BoxError> {
    let mut roots = rustls::RootCertStore::empty();
    match &target.certificate {
        Some(file) => certificates(file)?.into_iter().try_for_each(|certificate| roots.add(certificate))?,
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let protocol: &[u8] = if target.protocol == Protocol::Grpc { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    Ok(CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?)
}

/// An export of no span: valid, and nothing is stored of it.
async fn export(
    target: &Target,
    host: &str,
    at: SocketAddr,
    is_tls: bool,
    is_gzipped: bool,
) -> Result<Answer, BoxError> {
    let request = request(target, is_gzipped)?;
    let answered = async {
        if is_tls {
            let stream = tls(target, host, at).await.map_err(|(error, _)| error)?;
            call(target.protocol, stream, request).await
        } else {
            call(target.protocol, TcpStream::connect(at).await?, request).await
        }
    };
    tokio::time::timeout(WAIT_MAX, answered).await.map_err(|_| "no answer in time")?
}

fn request(target: &Target, is_gzipped: bool) -> Result<Request<Full<Bytes>>, BoxError> {
    let nothing: &[u8] = if is_gzipped { NOTHING_GZIPPED } else { &[] };
    let mut body = Vec::new();
    if target.protocol == Protocol::Grpc {
        body.push(u8::from(is_gzipped));
        body.extend((nothing.len() as u32).to_be_bytes());
    }
    body.extend(nothing);
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri.clone();
    let headers = request.headers_mut();
    for (name, value) in &target.headers {
        headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    match target.protocol {
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            if is_gzipped {
                headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
            }
        }
        Protocol::Http => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            if is_gzipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            // The first version of HTTP has the path alone in its first line, and the host beside it.
            if let Some(authority) = target.uri.authority() {
                headers.insert(http::header::HOST, HeaderValue::try_from(authority.as_str())?);
            }
            *request.uri_mut() = target.uri.path().parse()?;
        }
    }
    Ok(request)
}

async fn call<S>(protocol: Protocol, stream: S, request: Request<Full<Bytes>>) -> Result<Answer, BoxError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let response = match protocol {
        Protocol::Http => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
        Protocol::Grpc => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
    };
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { status: head.status, headers: head.headers, trailers, body: body.to_bytes() })
}

impl Answer {
    fn text(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).or_else(|| self.headers.get(name)).and_then(|value| value.to_str().ok())
    }

    fn grpc_status(&self) -> Option<u32> {
        self.text("grpc-status").and_then(|code| code.parse().ok())
    }
}

fn judge(target: &Target, answer: &Answer) -> Result<(), Box<Finding>> {
    let kind = answer.text("content-type").unwrap_or_default();
    let is_otlp = kind.starts_with("application/x-protobuf") || kind.starts_with("application/json");
    let status = answer.status.as_u16();
    match (target.protocol, answer.grpc_status()) {
        (Protocol::Grpc, Some(0)) => return Ok(()),
        (Protocol::Grpc, Some(7 | 16)) => return Err(auth(target, answer)),
        (Protocol::Grpc, Some(12)) => return Err(wrong_path(target, answer)),
        (Protocol::Grpc, Some(8 | 14)) => return Err(busy(target, answer)),
        (Protocol::Grpc, Some(_)) => return Err(odd(target, answer)),
        (Protocol::Http, _) if (200..300).contains(&status) => {
            // Whoever answers everything with a page of its own has not taken it.
            return if is_otlp || answer.body.is_empty() { Ok(()) } else { Err(odd(target, answer)) };
        }
        // It speaks HTTP/2, and no gRPC.
        (Protocol::Grpc, None) if !matches!(status, 401 | 403 | 429 | 502..=504) => {
            return Err(wrong_protocol(target, "it answers HTTP without a gRPC status", Protocol::Http));
        }
        _ => {}
    }
    match status {
        401 | 403 => Err(auth(target, answer)),
        404 | 405 => Err(wrong_path(target, answer)),
        415 if kind.starts_with("application/grpc") => {
            Err(wrong_protocol(target, "it takes gRPC only", Protocol::Grpc))
        }
        429 | 502..=504 => Err(busy(target, answer)),
        _ => Err(odd(target, answer)),
    }
}

fn found(code: &str, target: &Target, text: String, next: impl Into<String>, why: &str) -> Box<Finding> {
    debug_assert!(hopscope_client::api::CODES.contains(&code), "{code} is documented");
    let severity = if matches!(code, "endpoint_busy" | "endpoint_compression") { "warning" } else { "error" };
    let (code, severity) = (code.to_owned(), severity.to_owned());
    let found = Finding { code, severity, text, next: next.into(), ..Finding::default() };
    let found = found.with("endpoint", &target.url, "text").with("protocol", target.protocol.name(), "text");
    Box::new(if why.is_empty() { found } else { found.with("why", why, "text") })
}

fn unresolved(target: &Target, host: &str, error: &std::io::Error) -> Box<Finding> {
    let text = format!("the name {host} of {} cannot be resolved here", target.url);
    let next = "is it spelled right, and known to the DNS of this machine or container? In Kubernetes a service of another \
                namespace is name.namespace";
    found("endpoint_unresolved", target, text, next, &told(error))
}

fn tls_failed(target: &Target, error: &BoxError, heard: Speech) -> Box<Finding> {
    let why = told(&**error);
    let text = format!("no TLS connection to {}: {why}", target.url);
    let next = match heard {
        Speech::Http1 | Speech::Http2 => {
            "the port speaks without TLS: write http:// instead of https://, or switch TLS on there".to_owned()
        }
        _ => "trust its certificate (OTEL_EXPORTER_OTLP_CERTIFICATE, --certificate), ask for the name that it is made out to, \
              and see that it has not expired"
            .to_owned(),
    };
    found("endpoint_tls", target, text, next, &why)
}

fn no_answer(target: &Target, error: &(dyn Error + 'static), heard: Speech) -> Box<Finding> {
    match (heard, target.protocol) {
        (Speech::Tls, _) => {
            let text = format!("{} speaks TLS, and was asked without", target.url);
            found("endpoint_tls", target, text, "write https:// instead of http://", &told(error))
        }
        (Speech::Http1, Protocol::Grpc) => wrong_protocol(target, "it speaks HTTP/1.1", Protocol::Http),
        (Speech::Http2, Protocol::Http) => {
            wrong_protocol(target, "it speaks HTTP/2 only, as gRPC does", Protocol::Grpc)
        }
        _ => {
            let why = told(error);
            let text = format!("{} accepts connections and does not answer as OTLP: {why}", target.url);
            let next = "is that the right port? OTLP is 4317 (gRPC) and 4318 (HTTP); a proxy in between must pass HTTP/2 on \
                        for gRPC";
            found("endpoint_odd", target, text, next, &why)
        }
    }
}

fn wrong_protocol(target: &Target, why: &str, right: Protocol) -> Box<Finding> {
    let asked = target.protocol.name();
    let text = format!("{} was asked by {asked}, and {why}", target.url);
    let port =
        if right == Protocol::Grpc { "4318 is usual for http/protobuf" } else { "4317 is usual for grpc" };
    let right = right.name();
    let next = format!(
        "set OTEL_EXPORTER_OTLP_PROTOCOL={right} for this port, or name the port of {asked} ({port})"
    );
    found("endpoint_wrong_protocol", target, text, next, why)
}

fn wrong_path(target: &Target, answer: &Answer) -> Box<Finding> {
    let why = answered(answer);
    let path = target.uri.path();
    let text = format!("{} takes no traces at {path}: {why}", target.url);
    let next = match target.protocol {
        Protocol::Http => {
            "OTEL_EXPORTER_OTLP_ENDPOINT gets /v1/traces added, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is used as it stands and \
             must have the whole path"
        }
        Protocol::Grpc => "it speaks gRPC, and has no OTLP trace service: is that the right port?",
    };
    found("endpoint_wrong_path", target, text, next, &why)
}

fn auth(target: &Target, answer: &Answer) -> Box<Finding> {
    let why = answered(answer);
    let text = format!("{} refuses who asks: {why}", target.url);
    let next = "set the header that it wants in OTEL_EXPORTER_OTLP_HEADERS (name=value, in percent-encoding), or with --header \
                here";
    found("endpoint_auth", target, text, next, &why)
}

fn busy(target: &Target, answer: &Answer) -> Box<Finding> {
    let why = answered(answer);
    let text = format!("{} cannot take anything now: {why}", target.url);
    let next = "exporters keep their spans and try again; see what the server or the proxy before it lacks";
    found("endpoint_busy", target, text, next, &why)
}

fn odd(target: &Target, answer: &Answer) -> Box<Finding> {
    let why = answered(answer);
    let text = format!("{} does not answer as OTLP does: {why}", target.url);
    let next = "is that the right port and path? A web page or another service answers there";
    found("endpoint_odd", target, text, next, &why)
}

fn no_gzip(target: &Target, answer: &Answer) -> Box<Finding> {
    let why = answered(answer);
    let text = format!("{} takes plain requests and none with gzip: {why}", target.url);
    let next =
        "set OTEL_EXPORTER_OTLP_COMPRESSION=none, or have the proxy in between pass content-encoding on";
    found("endpoint_compression", target, text, next, &why)
}

fn answered(answer: &Answer) -> String {
    let kind = answer.text("content-type").unwrap_or("no content type");
    match answer.grpc_status() {
        Some(code) => {
            let message = answer.text("grpc-message").unwrap_or_default();
            format!("gRPC status {code} {message}").trim_end().to_owned()
        }
        None => format!("HTTP status {}, {kind}", answer.status.as_u16()),
    }
}

/// How far this machine is ahead of who answered, by its `Date`.
fn skew_ns(answer: &Answer) -> Option<i64> {
    let then = answer.headers.get(DATE)?.to_str().ok()?;
    let then = httpdate::parse_http_date(then).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(hopscope_server::now_ns() - i64::try_from(then.as_nanos()).ok()?)
}

/// An error with its causes: the outermost of a client says little.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told += &format!(": {error}");
        cause = error.source();
    }
    told
}
