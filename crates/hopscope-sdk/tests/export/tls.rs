//! TLS and mutual TLS to an endpoint with certificates of this test's own.

use crate::endpoint::{Answer, Endpoint, ok};
use crate::{LONG, alone};
use hopscope_sdk::setup::{ErrorKind, Protocol, Setup, Tls};
use hopscope_sdk::{Details, Place, Telemetry};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority that signs for the endpoint and for its clients.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        Self { issuer: issuer.expect("an authority"), folder: TempDir::new().expect("a folder") }
    }

    fn file(&self, name: &str, pem: &str) -> Option<PathBuf> {
        let file = self.folder.path().join(name);
        std::fs::write(&file, pem).expect("written");
        Some(file)
    }

    fn server(&self, asks_clients: bool) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = if asks_clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a server");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    fn trusted(&self) -> Tls {
        Tls { certificate: self.file("root.pem", &self.issuer.pem()), ..Tls::default() }
    }

    fn client(&self) -> Tls {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["client".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Tls {
            client_certificate: self.file("client.pem", &certificate.pem()),
            client_key: self.file("client.key", &key.serialize_pem()),
            ..self.trusted()
        }
    }
}

/// Whether a span arrives.
fn arrives(endpoint: &Endpoint, protocol: Protocol, tls: Tls, patience: Duration) -> bool {
    let endpoint = format!("https://localhost:{}", endpoint.port);
    let setup = Setup { endpoint, protocol: Some(protocol), tls, ..Setup::default() };
    let guard = setup.init().expect("a set-up");
    let place = Place::Nats { subject: "orders" };
    Telemetry::global().send("publish", place, &Details::default()).confirm(place, &Details::default());
    guard.flush(patience);
    guard.shutdown(Duration::ZERO).exported == 1
}

#[test]
fn only_whom_both_sides_trust_is_talked_to() {
    let _alone = alone();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let short = Duration::from_millis(700);
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let thanks = if protocol == Protocol::Grpc { Answer::Grpc(0, vec![], vec![]) } else { ok() };
        let endpoint = |asks_clients| {
            let thanks = thanks.clone();
            Endpoint::with_tls(authority.server(asks_clients), move |_| thanks.clone())
        };
        let open = endpoint(false);
        assert!(arrives(&open, protocol, authority.trusted(), LONG), "{protocol:?}");
        assert!(!arrives(&open, protocol, stranger.trusted(), short), "a server that is not trusted");
        assert!(!arrives(&open, protocol, Tls::default(), short), "nor does the system trust it");
        let closed = endpoint(true);
        assert!(arrives(&closed, protocol, authority.client(), LONG), "{protocol:?}, mutual");
        assert!(!arrives(&closed, protocol, authority.trusted(), short), "a client without a certificate");
    }
}

#[test]
fn files_that_are_none_are_errors_of_the_set_up() {
    let _alone = alone();
    let authority = Authority::new();
    for tls in [
        Tls { certificate: Some("/no/such/file.pem".into()), ..Tls::default() },
        Tls { certificate: authority.file("empty.pem", ""), ..Tls::default() },
        Tls { client_key: None, ..authority.client() },
    ] {
        let told = format!("{tls:?}");
        let setup = Setup { endpoint: "https://localhost:4318".into(), tls, ..Setup::default() };
        let error = setup.init().expect_err(&told);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}
