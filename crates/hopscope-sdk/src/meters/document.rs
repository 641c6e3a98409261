//! `docs/metrics.md`: the table of metrics, with the attributes that their series really have.

use super::Limits;
use super::operation::OPERATIONS_MAX;
use super::table::{Distribution, Instrument, METRICS};
use super::tests::{decoded, everything};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# Metrics

<!-- Written from the code in crates/hopscope-sdk/src/meters; a test compares them. Rewrite with
UPDATE_EXPECT=1 cargo test -p hopscope-sdk --lib meters -->

What the SDK counts, by OpenTelemetry's messaging conventions (1.44) where they have a metric, under `hopscope.` where they have
none. Nothing here is sampled: a step counts whatever becomes of its span. With `setup` they leave with the spans, as OTLP; with
a meter provider of your own, `Telemetry::with_meter` gives it the same names and numbers.

";

const FOOT: &str = "
An attribute in brackets is not on every series. `error.type` is there where the operation failed, `hopscope.outcome` is `unknown`
where nobody said how it ended (fire-and-forget, a cancelled future, a guard that was dropped).

## Attributes of every messaging series
Together they make a *lane*: `messaging.system`, `messaging.destination.name` (or `messaging.destination.template` instead of it,
where the application gives one), and where they are known `messaging.consumer.group.name`, `server.address`, `server.port`, and

| System | |
|---|---|
| Kafka | `messaging.destination.partition.id` |
| NATS JetStream | `messaging.nats.stream` |
| RabbitMQ | `messaging.rabbitmq.exchange`, `messaging.rabbitmq.destination.routing_key`, `messaging.rabbitmq.queue` |
| RocketMQ | `messaging.rocketmq.broker.name`, `messaging.rocketmq.queue.id`, `messaging.rocketmq.logical_topic` |

A template also takes the place of routing key, queue and logical topic: subjects and keys with an order number in them would
make a lane each.

## How it is counted
- A message counts as consumed when it is received: once a delivery, not again when it is processed.
- A batch has one duration, of its operation; its messages count one by one, each on its own lane with its own `error.type`.
- A receive has no duration: it is recorded when a message is handed over, and how long the client had waited is not known.
- Time in the queue runs from the broker's clock (else the sender's) to the consumer's. Below zero counts as zero.
- What an application suppresses (`with_telemetry_suppressed`) is not counted.
- `OTEL_SEMCONV_STABILITY_OPT_IN=messaging/dup` adds no older metrics: this SDK never had them, and a message that is counted under
  two names is counted twice by whoever reads both.

## Temporality
Cumulative since the process began, or as `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` says: `delta`, `lowmemory` (deltas of
everything but the state of the SDK). What there is *now* is never a difference.
";

fn reference() -> String {
    let decoded = decoded(&everything());
    let mut page = HEAD.to_owned();
    page.push_str("| Metric | Kind, unit | Attributes beside the lane's | Meaning |\n|---|---|---|---|\n");
    for of in &METRICS {
        let series: Vec<_> =
            decoded.iter().filter(|metric| metric.name == of.name).flat_map(attributes).collect();
        let kind = match of.instrument {
            Instrument::Histogram => "histogram",
            Instrument::Counter => "counter",
            Instrument::Level => "level",
        };
        let (name, unit, meaning) = (of.name, of.unit, of.description);
        writeln!(page, "| `{name}` | {kind}, `{unit}` | {} | {meaning} |", own_attributes(&series))
            .expect("a string");
    }
    page.push_str("\n| Buckets | Upper bounds, each within the bucket below it |\n|---|---|\n");
    for measure in Distribution::ALL {
        let bounds = measure.bounds();
        let bounds: Vec<_> = bounds.values.iter().map(|bound| bounds.in_unit(*bound).to_string()).collect();
        writeln!(page, "| `{}` | {} |", measure.metric().name, bounds.join(" ")).expect("a string");
    }
    page + FOOT + &limits()
}

fn limits() -> String {
    let Limits { lanes_max, error_types_max, value_bytes_max } = Limits::default();
    format!(
        "\n## Limits\n{lanes_max} lanes (`Limits::lanes_max`); what comes later is counted together under \
         `otel.metric.overflow = true`.\n{error_types_max} values of `error.type` for each operation of a lane \
         (`error_types_max`) and {OPERATIONS_MAX} operations; the rest is `_OTHER`.\nTexts are cut at \
         {value_bytes_max} bytes (`value_bytes_max`).\n"
    )
}

/// The attributes of each series of a metric.
fn attributes(metric: &Metric) -> Vec<&[KeyValue]> {
    match metric.data.as_ref().expect("data") {
        Data::Sum(sum) => sum.data_points.iter().map(|point| &*point.attributes).collect(),
        Data::Histogram(of) => of.data_points.iter().map(|point| &*point.attributes).collect(),
        other => panic!("neither sum nor histogram: {other:?}"),
    }
}

/// Those that a lane does not have, in brackets where not all series have them.
fn own_attributes(series: &[&[KeyValue]]) -> String {
    let own = |set: &&KeyValue| {
        let not_of_a_lane = ["messaging.operation", "error.", "hopscope."];
        not_of_a_lane.iter().any(|prefix| set.key.starts_with(prefix))
    };
    let names: BTreeSet<&str> =
        series.iter().flat_map(|set| set.iter().filter(own)).map(|set| set.key.as_str()).collect();
    let in_brackets = names.into_iter().map(|name| {
        let on_all = series.iter().all(|set| set.iter().any(|set| set.key == name));
        if on_all { format!("`{name}`") } else { format!("[`{name}`]") }
    });
    in_brackets.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, reference()).expect("docs/ is writable");
    }
    let committed = std::fs::read_to_string(&file).expect("docs/metrics.md");
    assert_eq!(
        committed,
        reference(),
        "rewrite it with UPDATE_EXPECT=1 cargo test -p hopscope-sdk --lib meters"
    );
}
