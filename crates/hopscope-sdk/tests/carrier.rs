//! The reference carrier passes the carrier kit.

use hopscope_sdk::kit::{self, MapHeaders};
use hopscope_sdk::{CarrierMut, Details, Headers, Place};

#[test]
fn a_list_of_pairs_passes_the_carrier_kit() {
    let owned = |value: &[u8]| value.to_vec();
    kit::carrier(
        |pairs| {
            Some(MapHeaders(pairs.iter().map(|(key, value)| ((*key).into(), value.map(owned))).collect()))
        },
        |headers| headers.0.clone(),
    );
}

/// Headers that cannot be written, as a client may hand them out.
struct ReadOnly(MapHeaders);

impl Headers for ReadOnly {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        self.0.each(visit);
    }
}

impl CarrierMut for ReadOnly {
    fn remove(&mut self, _is_named: &dyn Fn(&[u8]) -> bool) {}
    fn set(&mut self, _name: &str, _value: &str) {}
    fn set_bytes(&mut self, _name: &str, _value: &[u8]) {}
}

#[test]
fn headers_that_cannot_be_written_stay_as_they_are() {
    let recorder = kit::Recorder::default();
    let telemetry = recorder.telemetry();
    let before = vec![("traceparent".to_owned(), Some(b"old".to_vec())), ("app".to_owned(), None)];
    let mut headers = ReadOnly(MapHeaders(before.clone()));
    let place = Place::Kafka { topic: "orders", partition: None, offset: None };
    let sending = telemetry.send("send", place, &Details::default());
    sending.inject(&mut headers);
    sending.unconfirmed();
    assert_eq!(headers.0.0, before);
}
