//! What a metric costs: ours, and OpenTelemetry's own counter and histogram with the same eight attributes, in turn
//! in the same run; CPU time of this process, best round of each. Figures go to standard output, one JSON object a
//! line.
//!
//! Look-ups go round over 64 lanes, as a consumer of many partitions does; records are on one lane by one thread. Under
//! `contended` two threads record on the same lane without a pause, which is the worst that there is.

#![expect(clippy::print_stdout, reason = "figures are this program's output")]

use hopscope_sdk::meters::{Contexts, Ending, Lane, LaneKey, Limits, Meters, OperationType};
use hopscope_sdk::{Place, Server};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

const CALLS: u64 = 1_000_000;
const ROUNDS: usize = 15;
const PARTITIONS: i32 = 64;

/// Name, limit in nanoseconds, one call.
type Way<'a> = (&'static str, Option<f64>, &'a dyn Fn(u64));

fn main() {
    let meters = Meters::default();
    let reader = PeriodicReader::builder(InMemoryMetricExporter::default())
        .with_interval(Duration::from_secs(3600))
        .build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let meter = provider.meter("bench");
    let through = Meters::through(&meter, Limits::default());
    let (lane, lane_through) = (meters.lane(&key(0)), through.lane(&key(0)));
    let (counter, histogram) =
        (meter.u64_counter("counter").build(), meter.f64_histogram("histogram").build());
    let attributes = [
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.destination.name", "orders"),
        KeyValue::new("messaging.destination.partition.id", "0"),
        KeyValue::new("messaging.consumer.group.name", "payment"),
        KeyValue::new("messaging.operation.name", "poll"),
        KeyValue::new("messaging.operation.type", "receive"),
        KeyValue::new("server.address", "broker-1.kafka.svc"),
        KeyValue::new("server.port", 9092),
    ];
    let ways: [Way<'_>; 12] = [
        ("lookup", Some(40.0), &|n| _ = black_box(meters.lane(&key(n as i32 % PARTITIONS)))),
        ("sent", Some(20.0), &|n| lane.sent("send", duration(n), Ending::Ok)),
        ("sent_in_batch", Some(20.0), &|_| lane.sent_in_batch("send", 1, Ending::Ok)),
        ("received", Some(20.0), &|_| lane.received("poll", Contexts::FOUND)),
        ("timed", Some(20.0), &|n| lane.timed(OperationType::Settle, "commit", duration(n), Ending::Ok)),
        ("waited", Some(20.0), &|n| lane.waited(duration(n) as i64)),
        ("attempt", Some(20.0), &|_| lane.attempt(1)),
        ("failed", None, &|n| {
            lane.timed(OperationType::Process, "process", duration(n), Ending::Failed("SYSTEM_BUSY"))
        }),
        ("consume_whole", None, &|n| consume(meters.lane(&key(n as i32 % PARTITIONS)), n)),
        ("consume_whole.through_opentelemetry", None, &|n| {
            consume(through.lane(&key(n as i32 % PARTITIONS)), n);
        }),
        ("opentelemetry.counter", None, &|_| counter.add(1, black_box(&attributes))),
        ("opentelemetry.histogram", None, &|n| histogram.record(duration(n) as f64 / 1e9, &attributes)),
    ];
    // Warm: every lane and every series exists.
    ways.iter().for_each(|(_, _, way)| (0..1000).for_each(way));
    consume(lane_through, 0);
    let mut best_ns = [f64::INFINITY; 12];
    for _ in 0..ROUNDS {
        for ((_, _, way), best_ns) in ways.iter().zip(&mut best_ns) {
            *best_ns = best_ns.min(cpu_ns(&|| (0..CALLS).for_each(way)) / CALLS as f64);
        }
    }
    for ((name, limit, _), best_ns) in ways.iter().zip(best_ns) {
        figure(name, best_ns, *limit);
    }
    let together = || {
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| (0..CALLS).for_each(|n| lane.sent("send", duration(n), Ending::Ok)));
            }
        });
    };
    let contended_ns = (0..ROUNDS).map(|_| cpu_ns(&together)).fold(f64::INFINITY, f64::min);
    figure("sent.contended", contended_ns / (2 * CALLS) as f64, None);
}

fn key(partition: i32) -> LaneKey<'static> {
    LaneKey {
        group: "payment",
        server: Some(Server { address: "broker-1.kafka.svc", port: 9092 }),
        ..LaneKey::of(Place::Kafka { topic: "orders", partition: Some(partition), offset: None })
    }
}

/// All that is recorded for one message from the poll to the commit.
fn consume(lane: &Lane, n: u64) {
    lane.received("poll", Contexts::FOUND);
    lane.waited(duration(n) as i64);
    lane.attempt(1);
    lane.timed(OperationType::Process, "process", duration(n), Ending::Ok);
    lane.timed(OperationType::Settle, "commit", duration(n), Ending::Ok);
}

/// Between 0.1 and 26 ms: over three buckets.
fn duration(n: u64) -> u64 {
    100_000 + (n % 256) * 100_000
}

fn figure(name: &str, value: f64, limit: Option<f64>) {
    let pass = limit.is_none_or(|limit| value <= limit);
    let gate = limit.map_or("null".to_owned(), |limit| format!("{limit:.1}"));
    println!(r#"{{"name":"sdk.meters.{name}","value":{value:.1},"unit":"ns","gate":{gate},"pass":{pass}}}"#);
}

/// CPU nanoseconds of this process that `work` takes.
fn cpu_ns(work: &dyn Fn()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let begin = now();
    work();
    now() - begin
}
