//! TLS to an endpoint, by rustls: the roots of the system or a file of one's own, and a client certificate.

use super::otlp_client::Protocol;
use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use std::path::PathBuf;

/// Files in PEM form for TLS. Empty means: trust what the system trusts, show no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates to trust instead of the system's (`OTEL_EXPORTER_OTLP_CERTIFICATE`).
    pub certificate: Option<PathBuf>,
    /// Our own certificate, for mutual TLS (`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`).
    pub client_certificate: Option<PathBuf>,
    /// Its private key (`OTEL_EXPORTER_OTLP_CLIENT_KEY`).
    pub client_key: Option<PathBuf>,
}

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

fn http_connector() -> HttpConnector {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http
}

#[cfg(feature = "tls")]
pub(super) use with_tls::{Connector, connector};

#[cfg(feature = "tls")]
mod with_tls {
    use super::{Error, HttpConnector, Protocol, Tls, Uri, http_connector};
    use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ClientConfig, RootCertStore};
    use std::path::Path;
    use std::sync::Arc;

    pub(in crate::export) type Connector = HttpsConnector<HttpConnector>;

    /// Connects to `https` by TLS, to `http` without.
    pub(in crate::export) fn connector(tls: &Tls, uri: &Uri, protocol: Protocol) -> Result<Connector, Error> {
        // The system's roots are not read for nothing.
        let roots = if uri.scheme_str() == Some("https") { roots(tls)? } else { RootCertStore::empty() };
        // Named, and never the process's default: that one is the application's to choose.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&tls.client_certificate, &tls.client_key) {
            (Some(certificate), Some(key)) => {
                config.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?
            }
            (None, None) => config.with_no_client_auth(),
            _ => return Err("a client certificate and its key belong together".into()),
        };
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
        Ok(match protocol {
            Protocol::Grpc => builder.enable_http2().wrap_connector(http_connector()),
            Protocol::Http => builder.enable_http1().wrap_connector(http_connector()),
        })
    }

    fn roots(tls: &Tls) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &tls.certificate {
            Some(file) => {
                for certificate in certificates(file)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    return Err("the system has no certificates to trust".into());
                }
            }
        }
        Ok(roots)
    }

    fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(file).map_err(|error| told(file, &error))?.collect();
        match certificates.map_err(|error| told(file, &error))? {
            none if none.is_empty() => Err(told(file, &"no certificate in it")),
            certificates => Ok(certificates),
        }
    }

    fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_file(file).map_err(|error| told(file, &error))
    }

    fn told(file: &Path, error: &dyn std::fmt::Display) -> Error {
        format!("{error}, file={}", file.display()).into()
    }
}

#[cfg(not(feature = "tls"))]
pub(super) type Connector = HttpConnector;

/// Without TLS.
#[cfg(not(feature = "tls"))]
pub(super) fn connector(_: &Tls, uri: &Uri, _: Protocol) -> Result<Connector, Error> {
    match uri.scheme_str() {
        Some("https") => Err("https needs the feature `tls` of hopscope-sdk".into()),
        _ => Ok(http_connector()),
    }
}
