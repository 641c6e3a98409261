//! Kafka's headers pass the carrier kit; what rdkafka cannot read does not panic.

use hopscope_rdkafka::rdkafka::message::{Header, Headers, OwnedHeaders};
use hopscope_rdkafka::{KafkaHeaders, ReadHeaders};
use hopscope_sdk::opentelemetry::propagation::Extractor;
use hopscope_sdk::{CarrierMut, kit};

#[derive(Debug)]
struct Owned(OwnedHeaders);

impl hopscope_sdk::Headers for Owned {
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        hopscope_sdk::Headers::get_all(&ReadHeaders(Some(self.0.as_borrowed())), name, visit);
    }
}

impl CarrierMut for Owned {
    fn remove(&mut self, names: &[&str]) {
        KafkaHeaders(&mut self.0).remove(names);
    }

    fn set(&mut self, name: &str, value: &str) {
        CarrierMut::set(&mut KafkaHeaders(&mut self.0), name, value);
    }
}

fn headers(pairs: &[(&str, Option<&[u8]>)]) -> OwnedHeaders {
    pairs
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: *value }))
}

#[test]
fn kafka_headers_pass_the_carrier_kit() {
    kit::carrier(
        |pairs| Some(Owned(headers(pairs))),
        |headers| {
            headers.0.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        },
    );
}

#[test]
fn other_headers_keep_their_order() {
    let mut owned = headers(&[("b", Some(b"1")), ("TraceParent", None), ("a", None), ("b", Some(b""))]);
    CarrierMut::set(&mut KafkaHeaders(&mut owned), "traceparent", "new");
    let all: Vec<_> = owned.iter().map(|header| (header.key, header.value)).collect();
    let wanted: [(&str, Option<&[u8]>); 4] =
        [("b", Some(b"1")), ("a", None), ("b", Some(b"")), ("traceparent", Some(b"new"))];
    assert_eq!(all, wanted);
}

#[test]
fn an_extractor_takes_the_last_text() {
    let owned = headers(&[("K", Some(b"1")), ("k", Some(b"2")), ("k", Some(b"\xff")), ("k", None)]);
    assert_eq!(Extractor::get(&ReadHeaders(Some(owned.as_borrowed())), "k"), Some("2"));
    assert_eq!(Extractor::get(&ReadHeaders(None), "k"), None);
}
