//! Kafka headers as carriers.

use crate::raw;
use hopscope_sdk::opentelemetry::propagation::{Extractor, Injector};
use hopscope_sdk::{CarrierMut, Headers};
use rdkafka::message::{BorrowedHeaders, OwnedHeaders};
use std::fmt;

/// The headers of a message that was received, or none.
#[derive(Clone, Copy)]
pub struct ReadHeaders<'a>(pub Option<&'a BorrowedHeaders>);

/// The headers of a record that is to be sent. Also an OpenTelemetry `Injector` and `Extractor`, for propagators of
/// your own.
#[derive(Debug)]
pub struct KafkaHeaders<'a>(pub &'a mut OwnedHeaders);

impl Headers for ReadHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (key, value) in self.0.into_iter().flat_map(raw::iter) {
            visit(key.to_bytes(), value);
        }
    }
}

impl Headers for KafkaHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        ReadHeaders(Some(self.0.as_borrowed())).each(visit);
    }
}

impl CarrierMut for KafkaHeaders<'_> {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        let found: Vec<_> = raw::iter(self.0.as_borrowed())
            .filter(|(key, _)| is_named(key.to_bytes()))
            .map(|(key, _)| key.to_owned())
            .collect();
        for name in found {
            raw::remove(self.0, &name);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.set_bytes(name, value.as_bytes());
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        self.remove(&|key| key.eq_ignore_ascii_case(name.as_bytes()));
        raw::add(self.0, name, value);
    }

    fn as_headers(&self) -> Option<&dyn Headers> {
        Some(self)
    }
}

impl Injector for KafkaHeaders<'_> {
    fn set(&mut self, key: &str, value: String) {
        CarrierMut::set(self, key, &value);
    }
}

impl fmt::Debug for ReadHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.into_iter().flat_map(raw::iter).map(|(name, _)| name)).finish()
    }
}

/// The last value that is text; names compare without regard to case.
impl Extractor for ReadHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let named =
            raw::iter(self.0?).filter(|(name, _)| name.to_bytes().eq_ignore_ascii_case(key.as_bytes()));
        named.filter_map(|(_, value)| std::str::from_utf8(value?).ok()).last()
    }

    fn keys(&self) -> Vec<&str> {
        self.0
            .map(|headers| raw::iter(headers).filter_map(|(name, _)| name.to_str().ok()).collect())
            .unwrap_or_default()
    }
}
