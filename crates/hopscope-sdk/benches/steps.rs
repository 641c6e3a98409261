//! What a message costs on the caller's thread, metrics included: sent (facts, ids, header, confirmation) and consumed
//! (header read, receive, process, settle), sampled or not, with and without the ring. A sampled step is written as
//! OTLP bytes; the queue behind is not part of it.
//!
//! Each value is the best of interleaved rounds, in CPU time: what disturbs a round only makes it slower.
#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use hopscope_sdk::kit::{MapHeaders, Records};
use hopscope_sdk::{CarrierMut, Details, Keep, Place, Root, Sampler, Sampling, Sending, Telemetry};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;

const ROUNDS: usize = 21;
const STEPS: u32 = 20_000;

/// Sends on their way at a time.
const CROWD: usize = 1_000;

/// Headers that are written and thrown away: what is measured is ours, not a client's.
struct Discard;

impl CarrierMut for Discard {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        black_box(is_named(b"traceparent"));
    }

    fn set(&mut self, name: &str, value: &str) {
        black_box((name, value));
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        black_box((name, value));
    }
}

/// CPU time of this thread: a busy machine does not change it much.
fn cpu_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

const SENT: Place<'static> = Place::Kafka { topic: "orders", partition: None, offset: None };
const STORED: Place<'static> = Place::Kafka { topic: "orders", partition: Some(3), offset: Some(4711) };

fn details<'a>() -> Details<'a> {
    Details {
        server: Some(hopscope_sdk::Server { address: "kafka.example.com", port: 9092 }),
        cluster: "aG9wc2NvcGUtdGVzdHMtMQ",
        client: "checkout-1",
        key: "order-4711",
        body_bytes: Some(512),
        ..Details::default()
    }
}

fn send(telemetry: &Telemetry) {
    let sending = telemetry.send("send", SENT, &details());
    sending.inject(&mut Discard);
    sending.confirm(STORED, &Details { broker_time_ns: Some(1), ..Details::default() });
}

fn consume(telemetry: &Telemetry, headers: &MapHeaders) {
    let details = Details { group: "payment", ..details() };
    let delivery = telemetry.receive("poll", STORED, &details, headers);
    delivery.process().succeed().settle("commit").confirm();
}

/// A way to be measured, and what it may cost.
type Case = (&'static str, Option<f64>, Box<dyn Fn()>);

fn main() {
    let never = Sampling::all(Sampler::ParentBased(Root::Never));
    let unsampled = Records::new(never.clone(), Keep::default());
    let bare = Records::new(never, Keep::NOTHING);
    let sampled = Records::discarding(Sampling::all(Sampler::ParentBased(Root::Always)), Keep::default());
    let headers_of = |records: &Records| {
        let mut headers = MapHeaders::default();
        records.telemetry().send("send", SENT, &details()).inject(&mut headers);
        headers
    };
    let send_case = |records: &Records| -> Box<dyn Fn()> {
        let telemetry = records.telemetry();
        Box::new(move || send(&telemetry))
    };
    let consume_case = |records: &Records| -> Box<dyn Fn()> {
        let (telemetry, headers) = (records.telemetry(), headers_of(records));
        Box::new(move || consume(&telemetry, &headers))
    };
    // A program with many sends on their way meets each again when its memory is in no near cache any more.
    let crowd_case = |records: &Records| -> Box<dyn Fn()> {
        let telemetry = records.telemetry();
        let on_their_way = RefCell::new(VecDeque::with_capacity(CROWD + 1));
        Box::new(move || {
            let mut on_their_way = on_their_way.borrow_mut();
            let sending = telemetry.send("send", SENT, &details());
            sending.inject(&mut Discard);
            on_their_way.push_back(sending);
            if on_their_way.len() > CROWD {
                let oldest: Option<Sending> = on_their_way.pop_front();
                let stored = Details { broker_time_ns: Some(1), ..Details::default() };
                oldest.into_iter().for_each(|oldest| oldest.confirm(STORED, &stored));
            }
        })
    };
    let cases: [Case; 8] = [
        ("sdk.send.unsampled_of_1000", None, crowd_case(&unsampled)),
        ("sdk.send.unsampled_of_1000_without_ring", None, crowd_case(&bare)),
        ("sdk.send.unsampled", Some(300.0), send_case(&unsampled)),
        ("sdk.send.unsampled_without_ring", None, send_case(&bare)),
        ("sdk.send.sampled", Some(2000.0), send_case(&sampled)),
        ("sdk.consume.unsampled", None, consume_case(&unsampled)),
        ("sdk.consume.unsampled_without_ring", None, consume_case(&bare)),
        ("sdk.consume.sampled", None, consume_case(&sampled)),
    ];
    // `cargo bench --bench steps -- sdk.send`: only these, for a profiler.
    let wanted = std::env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    let cases: Vec<Case> = cases.into_iter().filter(|(name, ..)| name.starts_with(&wanted)).collect();
    let mut best_ns = [f64::INFINITY; 8];
    for _ in 0..ROUNDS {
        for ((_, _, step), best) in cases.iter().zip(&mut best_ns) {
            let started = cpu_ns();
            (0..STEPS).for_each(|_| step());
            *best = best.min((cpu_ns() - started) / f64::from(STEPS));
        }
    }
    for ((name, gate, _), ns) in cases.iter().zip(best_ns) {
        let pass = gate.is_none_or(|gate| ns <= gate);
        let gate = gate.map_or("null".to_owned(), |gate| format!("{gate:.0}"));
        println!(r#"{{"name":"{name}","value":{ns:.0},"unit":"ns","gate":{gate},"pass":{pass}}}"#);
    }
}
