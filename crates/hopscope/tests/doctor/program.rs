//! Services with the SDK, each a process of its own: this test binary, run again. What is wrong with them is in their
//! environment or in the headers that one hands to the other through a file.

use hopscope_sdk::kit::MapHeaders;
use hopscope_sdk::setup::Setup;
use hopscope_sdk::{Details, Disposition, Outcome, Place, Telemetry};
use std::path::PathBuf;
use std::time::Duration;

pub const PART: &str = "DOCTOR_PART";
pub const FILE: &str = "DOCTOR_FILE";
/// `false`: contexts are not written into messages.
pub const INJECT: &str = "DOCTOR_INJECT";
/// What the consumer finds as `traceparent` instead of what was sent; empty for nothing.
pub const TRACEPARENT: &str = "DOCTOR_TRACEPARENT";

/// Messages that a sender sends.
pub const MESSAGES: usize = 40;

const LONG: Duration = Duration::from_secs(30);
const GROUP: &str = "payment";

fn kafka(offset: usize) -> Place<'static> {
    Place::Kafka { topic: "orders", partition: Some(0), offset: Some(offset as i64) }
}

#[test]
#[ignore = "run by the tests of this file's siblings, as a service"]
fn a_process_of_its_own() {
    let variable = |name: &str| std::env::var(name).ok();
    let inject = (variable(INJECT).as_deref() == Some("false")).then_some(false.into());
    let guard = Setup { inject, ..Setup::default() }.init().expect("a set-up");
    let file = PathBuf::from(variable(FILE).expect("a file"));
    match variable(PART).as_deref() {
        Some("send") => send(&file),
        Some("consume") => consume(&file, variable(TRACEPARENT).as_deref()),
        other => panic!("no such part: {other:?}"),
    }
    guard.flush(LONG);
    let counts = guard.counts();
    println!("ended={} dropped={}", counts.ended, counts.dropped);
    guard.shutdown(LONG);
}

fn send(file: &std::path::Path) {
    let telemetry = Telemetry::global();
    let headers = (0..MESSAGES).map(|offset| {
        let mut headers = MapHeaders::default();
        let place = Place::Kafka { topic: "orders", partition: None, offset: None };
        let sending = telemetry.send("send", place, &Details { key: "4711", ..Details::default() });
        sending.inject(&mut headers);
        sending.confirm(kafka(offset), &Details::default());
        headers.0
    });
    let headers: Vec<_> = headers.collect();
    std::fs::write(file, serde_json::to_vec(&headers).expect("JSON")).expect("a file");
}

fn consume(file: &std::path::Path, traceparent: Option<&str>) {
    let telemetry = Telemetry::global();
    let sent = std::fs::read(file).expect("a file");
    let sent: Vec<Vec<(String, Option<Vec<u8>>)>> = serde_json::from_slice(&sent).expect("JSON");
    for (offset, mut headers) in sent.into_iter().enumerate() {
        if let Some(traceparent) = traceparent {
            headers.clear();
            if !traceparent.is_empty() {
                headers.push(("traceparent".to_owned(), Some(traceparent.as_bytes().to_vec())));
            }
        }
        let group = std::env::var("DOCTOR_GROUP").unwrap_or_else(|_| GROUP.to_owned());
        let details = Details { group: &group, ..Details::default() };
        let delivery = telemetry.receive("poll", kafka(offset), &details, &MapHeaders(headers));
        let declared = delivery.process().declare(Outcome::Ok, Some(Disposition::Accept));
        declared.settle("commit").confirm();
    }
}
