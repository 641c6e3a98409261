//! Which endpoints are tried: the one that is named, else the one of the environment, else those of the server.

use super::probe::{Protocol, Target};
use crate::args::DoctorArgs;
use crate::exit::{Exit, Failure};
use hopscope_client::Client;
use http::Uri;

const TRACES_PATH: &str = "/v1/traces";
const TRACES_METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What is to be tried. Of an unreachable server nothing is known, and no endpoint is guessed.
pub async fn targets(args: &DoctorArgs, client: &Client, is_up: bool) -> anyhow::Result<Vec<Target>> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let protocol = args.protocol.clone().or_else(|| environment("OTEL_EXPORTER_OTLP_PROTOCOL"));
    let protocol = protocol.as_deref().map(protocol_of).transpose()?;
    let headers = headers(args, environment("OTEL_EXPORTER_OTLP_HEADERS").as_deref())?;
    let named = args.endpoint.clone().or_else(|| environment("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let named = match named {
        Some(url) => vec![(url, protocol)],
        None if is_up => of_server(client).await,
        None => Vec::new(),
    };
    let certificate =
        args.certificate.clone().or_else(|| environment("OTEL_EXPORTER_OTLP_CERTIFICATE").map(Into::into));
    let target = |(url, protocol): (String, Option<Protocol>)| {
        let uri = uri(&url, protocol)?;
        Ok(Target {
            url,
            uri: uri.0,
            protocol: uri.1,
            headers: headers.clone(),
            certificate: certificate.clone(),
        })
    };
    named.into_iter().map(target).collect()
}

/// As the server listens, at the host under which it is asked: what it binds to is no name for others.
async fn of_server(client: &Client) -> Vec<(String, Option<Protocol>)> {
    let Ok(status) = client.status().await else { return Vec::new() };
    let host = client.base().parse::<Uri>().ok().and_then(|uri| uri.host().map(ToOwned::to_owned));
    let at = |address: &str, protocol: Protocol| {
        let port = address.rsplit_once(':').map(|(_, port)| port.to_owned())?;
        Some((format!("http://{}:{port}", host.as_deref()?), Some(protocol)))
    };
    [at(&status.otlp_grpc, Protocol::Grpc), at(&status.otlp_http, Protocol::Http)]
        .into_iter()
        .flatten()
        .collect()
}

fn protocol_of(name: &str) -> anyhow::Result<Protocol> {
    match name {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" | "http" | "http/json" => Ok(Protocol::Http),
        other => {
            let failure = Failure::new(Exit::Usage, format!("not a protocol of OTLP protocol={other}"));
            Err(failure.hint("grpc or http/protobuf").into())
        }
    }
}

fn headers(args: &DoctorArgs, of_environment: Option<&str>) -> anyhow::Result<Vec<(String, String)>> {
    let given = of_environment.unwrap_or_default().split(',').map(ToOwned::to_owned);
    let all = given.chain(args.header.iter().cloned()).filter(|pair| !pair.trim().is_empty());
    all.map(|pair| match pair.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => {
            let failure = Failure::new(Exit::Usage, "a header has no value".to_owned());
            Err(failure.hint("--header name=value").into())
        }
    })
    .collect()
}

/// The whole address, as an exporter makes it of an endpoint: HTTP gets its path where there is none, gRPC its method.
fn uri(url: &str, protocol: Option<Protocol>) -> anyhow::Result<(Uri, Protocol)> {
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let invalid = || {
        let failure = Failure::new(Exit::Usage, format!("not the address of an endpoint endpoint={url}"));
        failure.hint("as http://host:4318 or https://host:4317")
    };
    let uri: Uri = with_scheme.parse().map_err(|_| invalid())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(invalid().into());
    };
    let protocol =
        protocol.unwrap_or(if uri.port_u16() == Some(4317) { Protocol::Grpc } else { Protocol::Http });
    let path = match (protocol, uri.path()) {
        (Protocol::Grpc, _) => TRACES_METHOD,
        (Protocol::Http, "" | "/") => TRACES_PATH,
        (Protocol::Http, path) => path,
    };
    Ok((format!("{scheme}://{authority}{path}").parse().map_err(|_| invalid())?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_what_an_exporter_makes_of_it() {
        for (url, protocol, expected) in [
            ("http://host:4318", None, "http://host:4318/v1/traces"),
            ("host:4318/", None, "http://host:4318/v1/traces"),
            ("https://host/otlp/v1/traces", None, "https://host/otlp/v1/traces"),
            ("host:4317", None, &*format!("http://host:4317{TRACES_METHOD}")),
            ("host:9", Some(Protocol::Grpc), &*format!("http://host:9{TRACES_METHOD}")),
            ("host:4317", Some(Protocol::Http), "http://host:4317/v1/traces"),
        ] {
            assert_eq!(uri(url, protocol).expect("an endpoint").0.to_string(), expected, "{url}");
        }
        assert!(uri("ftp://host", None).is_err() && uri("http://", None).is_err());
    }
}
