//! What producer and consumer know about their client, and how errors are named.

use hopscope_sdk::{Details, Failure, Server};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::sync::OnceLock;

/// The parts of a configuration that say whose messages these are.
#[derive(Debug, Default)]
pub(crate) struct Client {
    server: Option<(String, u16)>,
    client_id: String,
    group: String,
    cluster: OnceLock<String>,
    pub transactional_id: String,
}

impl Client {
    pub fn of(config: &ClientConfig) -> Self {
        let get = |key| config.get(key).unwrap_or_default().to_owned();
        let servers = config.get("bootstrap.servers").or_else(|| config.get("metadata.broker.list"));
        Self {
            server: servers.and_then(first_server),
            client_id: get("client.id"),
            group: get("group.id"),
            cluster: OnceLock::new(),
            transactional_id: get("transactional.id"),
        }
    }

    /// Asks for the cluster id until it is known. `fetch` must answer at once.
    pub fn learn_cluster(&self, fetch: impl FnOnce() -> Option<String>) {
        if self.cluster.get().is_none()
            && let Some(cluster) = fetch()
        {
            // Two threads that learned it at once learned the same.
            let _ = self.cluster.set(cluster);
        }
    }

    /// The details that are the same for every message. The group is for consumers only.
    pub fn details(&self) -> Details<'_> {
        Details {
            server: self.server.as_ref().map(|(address, port)| Server { address, port: *port }),
            cluster: self.cluster.get().map(String::as_str).unwrap_or_default(),
            client: &self.client_id,
            group: &self.group,
            ..Details::default()
        }
    }
}

/// The first of `host:port,host:port`, with or without a protocol before it.
fn first_server(servers: &str) -> Option<(String, u16)> {
    let first = servers.split(',').next()?.trim();
    let first = first.split_once("://").map_or(first, |(_, rest)| rest);
    match first.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None if first.is_empty() => None,
        None => Some((first.to_owned(), KAFKA_PORT)),
    }
}

const KAFKA_PORT: u16 = 9092;

/// Kafka's own name of the error: `UnknownTopicOrPartition` becomes `UNKNOWN_TOPIC_OR_PARTITION`.
pub(crate) fn failure(error: &KafkaError) -> Failure {
    let Some(code) = error.rdkafka_error_code() else { return Failure::from(error) };
    let mut kind = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !kind.is_empty() {
            kind.push('_');
        }
        kind.push(letter.to_ascii_uppercase());
    }
    Failure::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::types::RDKafkaErrorCode;

    #[test]
    fn the_first_server_of_a_list() {
        for (servers, first) in [
            ("a:1,b:2", Some(("a", 1))),
            ("PLAINTEXT://a:1", Some(("a", 1))),
            ("[::1]:9094", Some(("[::1]", 9094))),
            ("a", Some(("a", 9092))),
            ("a:x", None),
            ("", None),
        ] {
            assert_eq!(first_server(servers), first.map(|(host, port)| (host.to_owned(), port)), "{servers}");
        }
    }

    #[test]
    fn errors_have_kafkas_names() {
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(failure(&error).kind(), "UNKNOWN_TOPIC_OR_PARTITION");
    }
}
