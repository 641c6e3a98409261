//! NATS headers as a carrier.

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use hopscope_sdk::opentelemetry::propagation::{Extractor, Injector};
use hopscope_sdk::{CarrierMut, Headers};

/// The headers of a message, to read (`NatsHeaders(&map)`) or to write (`NatsHeaders(&mut map)`). Names compare
/// without regard to case, because clients and servers write them differently. Also an OpenTelemetry `Injector` and
/// `Extractor`, for propagators of your own.
#[derive(Debug)]
pub struct NatsHeaders<M>(pub M);

impl<M: AsHeaders> Headers for NatsHeaders<M> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (name, values) in self.0.headers().into_iter().flat_map(HeaderMap::iter) {
            let name: &str = name.as_ref();
            values.iter().for_each(|value| visit(name.as_bytes(), Some(value.as_str().as_bytes())));
        }
    }
}

impl CarrierMut for NatsHeaders<&mut HeaderMap> {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        let is_named = |key: &HeaderName| is_named(AsRef::<str>::as_ref(key).as_bytes());
        if !self.0.iter().any(|(key, _)| is_named(key)) {
            return;
        }
        // The client's map has no removal.
        let mut kept = HeaderMap::new();
        for (key, values) in self.0.iter().filter(|(key, _)| !is_named(key)) {
            values.iter().for_each(|value| kept.append(key.clone(), value.clone()));
        }
        *self.0 = kept;
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(&|key| key.eq_ignore_ascii_case(name.as_bytes()));
        // Only the fallible conversions do not panic. What cannot be a header (line breaks) is left out.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            self.0.insert(name, value);
        }
    }

    /// Headers of NATS are lines of text.
    fn set_bytes(&mut self, _name: &str, _value: &[u8]) {}

    fn as_headers(&self) -> Option<&dyn Headers> {
        Some(self)
    }
}

impl Injector for NatsHeaders<&mut HeaderMap> {
    fn set(&mut self, key: &str, value: String) {
        CarrierMut::set(self, key, &value);
    }
}

/// The last value counts.
impl<M: AsHeaders> Extractor for NatsHeaders<M> {
    fn get(&self, key: &str) -> Option<&str> {
        named(self.0.headers()?, key).last().map(HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.headers().into_iter().flat_map(HeaderMap::iter).map(|(key, _)| key.as_ref()).collect()
    }
}

/// A map of headers, or none.
pub trait AsHeaders {
    /// The map.
    fn headers(&self) -> Option<&HeaderMap>;
}

impl AsHeaders for &HeaderMap {
    fn headers(&self) -> Option<&HeaderMap> {
        Some(self)
    }
}

impl AsHeaders for &mut HeaderMap {
    fn headers(&self) -> Option<&HeaderMap> {
        Some(self)
    }
}

impl AsHeaders for Option<&HeaderMap> {
    fn headers(&self) -> Option<&HeaderMap> {
        *self
    }
}

fn named<'a>(map: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a HeaderValue> {
    map.iter()
        .filter(move |(key, _)| AsRef::<str>::as_ref(*key).eq_ignore_ascii_case(name))
        .flat_map(|(_, values)| values)
}

/// `Nats-Msg-Id`: what JetStream finds duplicates by.
pub(crate) fn message_id(headers: Option<&HeaderMap>) -> &str {
    headers.and_then(|map| named(map, "nats-msg-id").last()).map(HeaderValue::as_str).unwrap_or_default()
}
