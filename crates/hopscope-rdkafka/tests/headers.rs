//! Kafka's headers pass the carrier kit; what rdkafka cannot read does not panic.
#![allow(
    unsafe_code,
    reason = "a header name that is not UTF-8 can only be made below rdkafka's safe interface"
)]

use hopscope_rdkafka::rdkafka::bindings::{rd_kafka_header_add, rd_kafka_resp_err_t};
use hopscope_rdkafka::rdkafka::message::{Header, Headers, OwnedHeaders};
use hopscope_rdkafka::{KafkaHeaders, ReadHeaders};
use hopscope_sdk::opentelemetry::propagation::Extractor;
use hopscope_sdk::{CarrierMut, kit};

#[derive(Debug)]
struct Owned(OwnedHeaders);

impl hopscope_sdk::Headers for Owned {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        hopscope_sdk::Headers::each(&ReadHeaders(Some(self.0.as_borrowed())), visit);
    }
}

impl CarrierMut for Owned {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        KafkaHeaders(&mut self.0).remove(is_named);
    }

    fn set(&mut self, name: &str, value: &str) {
        CarrierMut::set(&mut KafkaHeaders(&mut self.0), name, value);
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        KafkaHeaders(&mut self.0).set_bytes(name, value);
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

/// As a foreign client may send it: Kafka's protocol wants UTF-8, its brokers do not check.
fn with_a_name_that_is_no_text() -> OwnedHeaders {
    let owned = headers(&[("traceparent", Some(b"old")), ("app", Some(b"1"))]);
    let native = std::ptr::from_ref(owned.as_borrowed()).cast_mut().cast();
    let (name, value) = (b"\xff\xfe", b"v");
    // SAFETY: the headers are owned here and not otherwise borrowed; librdkafka copies name and value.
    let error =
        unsafe { rd_kafka_header_add(native, name.as_ptr().cast(), 2, value.as_ptr().cast_mut().cast(), 1) };
    assert_eq!(error, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    owned
}

#[test]
fn a_header_name_that_is_no_text_takes_nothing_down() {
    let mut owned = with_a_name_that_is_no_text();
    CarrierMut::set(&mut KafkaHeaders(&mut owned), "traceparent", "new");
    let read = ReadHeaders(Some(owned.as_borrowed()));
    assert_eq!(Extractor::get(&read, "traceparent"), Some("new"));
    assert_eq!(Extractor::keys(&read), ["app", "traceparent"]);
    assert_eq!(format!("{read:?}"), r#"["app", "\xff\xfe", "traceparent"]"#);
    assert_eq!(owned.count(), 3, "the foreign header is still there");
}
