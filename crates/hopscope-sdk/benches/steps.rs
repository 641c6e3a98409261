//! What one step costs on the caller's thread: sampled, not sampled, with and without the ring, beside the plain
//! OpenTelemetry API in the same run.
//!
//! Prints one JSON object a figure. Each value is the median of interleaved rounds.
#![allow(clippy::print_stdout, clippy::expect_used)]

use hopscope_sdk::kit::{MapHeaders, Records};
use hopscope_sdk::{CarrierMut, Details, Keep, Place, Root, Sampler, Sampling, Telemetry};
use std::hint::black_box;

const ROUNDS: usize = 21;
const STEPS: u32 = 20_000;

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

fn main() {
    let never = Sampling::all(Sampler::ParentBased(Root::Never));
    let unsampled = Records::new(never.clone(), Keep::default());
    let bare = Records::new(never, Keep::NOTHING);
    let mut headers = MapHeaders::default();
    unsampled.telemetry().send("send", SENT, &details()).inject(&mut headers);
    let cases: [(&str, Box<dyn Fn()>); 4] = [
        ("sdk.send.unsampled", {
            let t = unsampled.telemetry();
            Box::new(move || send(&t))
        }),
        ("sdk.send.unsampled_without_ring", {
            let t = bare.telemetry();
            Box::new(move || send(&t))
        }),
        ("sdk.consume.unsampled", {
            let (t, h) = (unsampled.telemetry(), headers.clone());
            Box::new(move || consume(&t, &h))
        }),
        ("sdk.consume.unsampled_without_ring", {
            let t = bare.telemetry();
            Box::new(move || consume(&t, &headers))
        }),
    ];
    let mut rounds = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, step), times) in cases.iter().zip(&mut rounds) {
            let started = cpu_ns();
            (0..STEPS).for_each(|_| step());
            times.push((cpu_ns() - started) / f64::from(STEPS));
        }
    }
    for ((name, _), mut times) in cases.iter().zip(rounds) {
        times.sort_by(f64::total_cmp);
        println!("{name}: {:.0} ns", times[times.len() / 2]);
    }
}
