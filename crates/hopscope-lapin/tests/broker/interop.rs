//! A client of another language with hand-made headers: pika, in the Python that `HOPSCOPE_TEST_PYTHON` names.

use crate::kit::*;
use hopscope_lapin::{DeadLetter, Settle};
use hopscope_sdk::dead_letter::{Families, Family};
use hopscope_sdk::{Failure, kit::broker};
use lapin::options::*;
use lapin::types::FieldTable;
use opentelemetry_sdk::trace::SpanData;
use std::process::Stdio;
use tokio::process::Command;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn python(arguments: &[&str]) -> String {
    let python = std::env::var_os("HOPSCOPE_TEST_PYTHON")
        .expect("HOPSCOPE_TEST_PYTHON names a python with pika; hint: `cargo xtask test` installs one");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/foreign.py");
    let mut command = Command::new(python);
    command.arg(script).arg(broker("HOPSCOPE_TEST_AMQP")).args(arguments).stderr(Stdio::inherit());
    let output = in_time(command.output()).await.expect("python starts");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// As a `traceparent`.
fn context(span: &SpanData) -> String {
    let context = &span.span_context;
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

#[tokio::test]
async fn what_pika_writes_is_read() {
    let bench = Bench::new("pika").await;
    bench.topology(FieldTable::default()).await;
    python(&["send", bench.queue("work").as_str(), TRACEPARENT]).await;
    let mut consumer = bench.consume(bench.queue("work")).await;
    let message = next(&mut consumer).await;
    assert_eq!(message.delivery().origin().problems, Vec::<String>::new());
    message.ack(message.process().succeed(), BasicAckOptions::default()).await.expect("ack");
    let spans = bench.finish(&["work"]).await;
    for span in of(&spans, "consume").into_iter().chain(of(&spans, "process")) {
        assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(span.links.iter().next().expect("a link").span_context.is_remote());
        assert_eq!(attribute(span, "hopscope.keys"), "[\"order-1\"]");
        assert_eq!(attribute(span, "messaging.message.id"), "python-1");
    }
}

#[tokio::test]
async fn what_we_write_pika_reads() {
    let bench = Bench::new("topika").await;
    bench.topology(FieldTable::default()).await;
    bench.declare(&bench.queue("dead"), FieldTable::default()).await;
    bench.publish(lapin::BasicProperties::default().with_message_id("pay-1".into())).await;
    let message = bench.get(&bench.queue("work")).await;
    let work = message.process();
    let letters = DeadLetter::to_queue(bench.channel.clone(), bench.queue("dead"))
        .with_families(Families::ours().with(Family::SpringAmqp));
    let failure = Failure::new("Declined", "no cover");
    letters.publish(&message, &work, &failure).await.expect("the broker takes it");
    message.ack(work.fail(failure), BasicAckOptions::default()).await.expect("ack");
    bench.publish(lapin::BasicProperties::default()).await;

    let sent = python(&["receive", bench.queue("work").as_str()]).await;
    let dead = python(&["receive", bench.queue("dead").as_str()]).await;
    let spans = bench.finish(&["work", "dead"]).await;
    let publishes = of(&spans, "publish");
    assert!(sent.contains(&format!("\"traceparent\": \"{}\"", context(publishes[2]))), "{sent}");
    for header in [
        format!("\"traceparent\": \"{}\"", context(publishes[1])),
        format!("\"hopscope-dead-letter-context\": \"{}\"", context(publishes[0])),
        "\"hopscope-dead-letter-error-type\": \"Declined\"".to_owned(),
        "\"hopscope-dead-letter-reason\": \"no cover\"".to_owned(),
        "\"x-exception-message\": \"no cover\"".to_owned(),
        "\"message_id\": \"pay-1\"".to_owned(),
    ] {
        assert!(dead.contains(&header), "{header} in {dead}");
    }
}
