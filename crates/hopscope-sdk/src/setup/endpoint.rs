//! Where each signal goes: what the code says, else the environment, else this machine.

use super::Setup;
use super::environment::{Environment, headers};
use super::error::{Error, ErrorKind};
use crate::export::compress::Compression;
use crate::export::otlp_client::{Options, Protocol};
use crate::export::tls::Tls;
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use std::path::PathBuf;
use std::time::Duration;

/// One kind of telemetry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    /// As the environment's variables have it.
    pub variable: &'static str,
    /// Of OTLP/HTTP, below the endpoint.
    pub path: &'static str,
    /// Of OTLP/gRPC.
    pub method: &'static str,
}

pub(super) const TRACES: Signal = Signal {
    variable: "TRACES",
    path: "v1/traces",
    method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

pub(super) const METRICS: Signal = Signal {
    variable: "METRICS",
    path: "v1/metrics",
    method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
};

/// Longest wait for an answer, where nobody says.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the endpoint for that signal is.
///
/// # Errors
/// [`ErrorKind::Invalid`]: an address or a header makes no sense.
pub(super) fn options(setup: &Setup, environment: Environment<'_>, signal: Signal) -> Result<Options, Error> {
    let (address, is_whole) = address(setup, environment, signal);
    let protocol = protocol(setup, environment, signal, address.as_deref());
    let uri = match address {
        Some(address) => uri(&address, is_whole, protocol, signal),
        None if protocol == Protocol::Grpc => uri("http://localhost:4317", false, protocol, signal),
        None => uri("http://localhost:4318", false, protocol, signal),
    };
    let uri = uri.map_err(|error| Error::new(ErrorKind::Invalid, "no such endpoint", error))?;
    Ok(Options {
        protocol,
        uri,
        headers: all_headers(setup, environment, signal)?,
        timeout: timeout(setup, environment, signal),
        compression: compression(setup, environment, signal),
        tls: tls(setup, environment, signal),
    })
}

/// How long to wait for an answer.
pub(super) fn timeout(setup: &Setup, environment: Environment<'_>, signal: Signal) -> Duration {
    let milliseconds = |text: &str| text.parse().ok().map(Duration::from_millis);
    let timeout = setup.timeout.or_else(|| environment.otlp(signal.variable, "TIMEOUT", milliseconds));
    timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT)
}

/// How to compress.
pub(super) fn compression(setup: &Setup, environment: Environment<'_>, signal: Signal) -> Compression {
    let named = || environment.otlp(signal.variable, "COMPRESSION", Compression::of_name);
    setup.compression.or_else(named).unwrap_or_default()
}

/// The address, and whether its path is the whole one already: a signal's own variable is used as it stands.
fn address(setup: &Setup, environment: Environment<'_>, signal: Signal) -> (Option<String>, bool) {
    if !setup.endpoint.is_empty() {
        // A whole path is that of spans; the other signals have theirs beside it.
        let endpoint = match setup.endpoint.strip_suffix(TRACES.path) {
            Some(base) => format!("{base}{}", signal.path),
            None => setup.endpoint.clone(),
        };
        let is_whole = has_path(&endpoint);
        return (Some(endpoint), is_whole);
    }
    match environment.text(&format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable)) {
        Some(own) => (Some(own), true),
        None => (environment.text("OTEL_EXPORTER_OTLP_ENDPOINT"), false),
    }
}

fn has_path(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.trim_end_matches('/').contains('/')
}

fn protocol(setup: &Setup, environment: Environment<'_>, signal: Signal, address: Option<&str>) -> Protocol {
    let named = |name: &str| match name {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::Http),
        _ => None,
    };
    let usual = || match address.is_some_and(|address| address.trim_end_matches('/').ends_with(":4317")) {
        true => Protocol::Grpc,
        false => Protocol::Http,
    };
    setup.protocol.or_else(|| environment.otlp(signal.variable, "PROTOCOL", named)).unwrap_or_else(usual)
}

fn uri(address: &str, is_whole: bool, protocol: Protocol, signal: Signal) -> Result<Uri, String> {
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let base = with_scheme.trim_end_matches('/');
    let whole = match protocol {
        Protocol::Http if is_whole => with_scheme,
        Protocol::Http => format!("{base}/{}", signal.path),
        // gRPC has no base path: the method is the path.
        Protocol::Grpc => {
            let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
            format!("{scheme}://{}{}", rest.split('/').next().unwrap_or_default(), signal.method)
        }
    };
    let uri: Uri = whole.parse().map_err(|error| format!("{error}, endpoint={address}"))?;
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.host() {
        Some(host) if is_known && !host.is_empty() => Ok(uri),
        _ => Err(format!("not an http or https address, endpoint={address}")),
    }
}

/// The environment's, then the code's: of one name, the last counts.
fn all_headers(
    setup: &Setup,
    environment: Environment<'_>,
    signal: Signal,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let of_environment = environment.otlp(signal.variable, "HEADERS", headers).unwrap_or_default();
    let all = of_environment.iter().chain(&setup.headers);
    all.map(|(name, value)| {
        let mut value = HeaderValue::try_from(value)
            .map_err(|error| Error::new(ErrorKind::Invalid, "no such header value", error))?;
        // It may be a password: it is not to be seen in a debug print.
        value.set_sensitive(true);
        let name = HeaderName::try_from(name);
        Ok((name.map_err(|error| Error::new(ErrorKind::Invalid, "no such header name", error))?, value))
    })
    .collect()
}

fn tls(setup: &Setup, environment: Environment<'_>, signal: Signal) -> Tls {
    let file = |set: &Option<PathBuf>, name| {
        let named = || environment.otlp(signal.variable, name, |path| Some(PathBuf::from(path)));
        set.clone().or_else(named)
    };
    Tls {
        certificate: file(&setup.tls.certificate, "CERTIFICATE"),
        client_certificate: file(&setup.tls.client_certificate, "CLIENT_CERTIFICATE"),
        client_key: file(&setup.tls.client_key, "CLIENT_KEY"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Environment<'static> = Environment::NOTHING;

    fn in_code(endpoint: &str, protocol: Option<Protocol>) -> Setup {
        Setup { endpoint: endpoint.into(), protocol, ..Setup::default() }
    }

    #[test]
    fn an_address_gets_the_usual_path_and_protocol() {
        let (grpc, http) = (Some(Protocol::Grpc), Some(Protocol::Http));
        let method = TRACES.method;
        for (endpoint, protocol, url) in [
            ("", None, "http://localhost:4318/v1/traces".to_owned()),
            ("", grpc, format!("http://localhost:4317{method}")),
            ("http://localhost:4318", None, "http://localhost:4318/v1/traces".to_owned()),
            ("http://localhost:4318/", None, "http://localhost:4318/v1/traces".to_owned()),
            ("http://localhost/otlp/v1/traces", None, "http://localhost/otlp/v1/traces".to_owned()),
            ("https://collector:4317", None, format!("https://collector:4317{method}")),
            ("collector:4317", None, format!("http://collector:4317{method}")),
            ("http://localhost:4317/v1/traces", None, "http://localhost:4317/v1/traces".to_owned()),
            ("http://localhost:4317", http, "http://localhost:4317/v1/traces".to_owned()),
            ("http://localhost:4318", grpc, format!("http://localhost:4318{method}")),
        ] {
            let options = options(&in_code(endpoint, protocol), NOTHING, TRACES).expect("an endpoint");
            assert_eq!(options.uri.to_string(), url, "{endpoint} {protocol:?}");
        }
    }

    #[test]
    fn metrics_go_beside_the_spans() {
        for (endpoint, url) in [
            ("", "http://localhost:4318/v1/metrics"),
            ("http://collector:4318", "http://collector:4318/v1/metrics"),
            ("http://collector/otlp/v1/traces", "http://collector/otlp/v1/metrics"),
        ] {
            let options = options(&in_code(endpoint, None), NOTHING, METRICS).expect("an endpoint");
            assert_eq!(options.uri.to_string(), url, "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for endpoint in ["http://exa mple", "ftp://localhost", "http://", "http://[::1"] {
            let error = options(&in_code(endpoint, None), NOTHING, TRACES).expect_err(endpoint);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("endpoint"), "{error}");
        }
    }

    #[test]
    fn the_environment_says_what_the_code_leaves_open() {
        let variables = |name: &str| {
            let value = match name {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => "https://collector/base",
                "OTEL_EXPORTER_OTLP_HEADERS" => "tenant=a",
                "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION" => "gzip",
                "OTEL_EXPORTER_OTLP_TIMEOUT" => "1500",
                "OTEL_EXPORTER_OTLP_CERTIFICATE" => "/roots.pem",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let environment = Environment::of(&variables);
        let options = options(&Setup::default(), environment, TRACES).expect("an endpoint");
        assert_eq!(options.uri.to_string(), "https://collector/base/v1/traces");
        assert_eq!((options.compression, options.timeout), (Compression::Gzip, Duration::from_millis(1500)));
        assert_eq!(options.tls.certificate, Some(PathBuf::from("/roots.pem")));
        assert_eq!(options.headers, [("tenant".parse().expect("a name"), HeaderValue::from_static("a"))]);
        let setup = Setup { timeout: Some(Duration::from_secs(3)), ..in_code("http://other:4318", None) };
        let options = super::options(&setup, environment, TRACES).expect("an endpoint");
        assert_eq!((options.uri.host(), options.timeout), (Some("other"), Duration::from_secs(3)));
    }
}
