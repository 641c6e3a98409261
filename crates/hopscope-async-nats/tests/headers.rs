//! NATS headers pass the carrier kit.

use hopscope_async_nats::NatsHeaders;
use hopscope_async_nats::async_nats::HeaderMap;
use hopscope_async_nats::async_nats::header::{HeaderName, HeaderValue};
use hopscope_sdk::opentelemetry::propagation::Extractor;
use hopscope_sdk::{CarrierMut, Headers, kit};

#[derive(Debug)]
struct Owned(HeaderMap);

impl Headers for Owned {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        NatsHeaders(&self.0).each(visit);
    }
}

impl CarrierMut for Owned {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        NatsHeaders(&mut self.0).remove(is_named);
    }

    fn set(&mut self, name: &str, value: &str) {
        CarrierMut::set(&mut NatsHeaders(&mut self.0), name, value);
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        NatsHeaders(&mut self.0).set_bytes(name, value);
    }
}

/// NATS headers are text lines: no null, no bytes that are no text.
fn headers(pairs: &[(&str, Option<&[u8]>)]) -> Option<Owned> {
    let mut map = HeaderMap::new();
    for (key, value) in pairs {
        let value: HeaderValue = std::str::from_utf8((*value)?).ok()?.parse().ok()?;
        map.append(key.parse::<HeaderName>().ok()?, value);
    }
    Some(Owned(map))
}

#[test]
fn nats_headers_pass_the_carrier_kit() {
    kit::carrier(headers, |Owned(map)| {
        let pairs =
            map.iter().flat_map(|(key, values)| values.iter().map(move |value| (key.to_string(), value)));
        pairs.map(|(key, value)| (key, Some(value.as_str().into()))).collect()
    });
}

#[test]
fn a_line_break_never_gets_in() {
    let mut map = HeaderMap::new();
    CarrierMut::set(&mut NatsHeaders(&mut map), "baggage", "a=b\r\nx: y");
    CarrierMut::set(&mut NatsHeaders(&mut map), "bad name", "v");
    assert!(map.is_empty());
}

#[test]
fn an_extractor_takes_the_last_value() {
    let owned = headers(&[("K", Some(b"1")), ("K", Some(b"2"))]).expect("text");
    assert_eq!(Extractor::get(&NatsHeaders(&owned.0), "k"), Some("2"));
    assert_eq!(Extractor::get(&NatsHeaders(None), "k"), None);
}
