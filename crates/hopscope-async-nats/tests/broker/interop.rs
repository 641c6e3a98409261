//! A client of another language with hand-made headers: nats-py, in the Python that `HOPSCOPE_TEST_PYTHON` names.

use crate::kit::{Bench, attribute, in_time, next};
use async_nats::jetstream::consumer::AckPolicy;
use hopscope_async_nats::DeadLetter;
use hopscope_sdk::{Failure, kit::broker};
use opentelemetry_sdk::trace::SpanData;
use std::process::Stdio;
use tokio::process::Command;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn python(arguments: &[&str]) -> String {
    let python = std::env::var_os("HOPSCOPE_TEST_PYTHON")
        .expect("HOPSCOPE_TEST_PYTHON names a python with nats-py; hint: `cargo xtask test` installs one");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/foreign.py");
    let mut command = Command::new(python);
    command.arg(script).arg(broker("HOPSCOPE_TEST_NATS")).args(arguments).stderr(Stdio::inherit());
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
async fn what_nats_py_writes_is_read() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::Explicit).await;
    python(&["send", &bench.subject(), TRACEPARENT]).await;
    let message = next(&mut messages).await;
    assert_eq!(message.delivery().origin().problems, Vec::<String>::new());
    message.process().double_ack().await.expect("confirmed");
    for span in bench.of("receive").into_iter().chain(bench.of("process")) {
        assert_eq!(context(&span)[..35], TRACEPARENT[..35], "the same trace");
        assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(attribute(&span, "messaging.message.id"), "python-1");
    }
}

#[tokio::test]
async fn what_we_write_nats_py_reads() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::Explicit).await;
    bench.publish().await;
    let message = next(&mut messages).await;
    let dead = DeadLetter::to(bench.jetstream.clone(), format!("{}.dead", bench.stream));
    dead.send(&message, 1, &Failure::new("Declined", "no cover")).await.expect("stored");
    let sent = python(&["receive", &bench.stream, &bench.subject()]).await;
    let dead = python(&["receive", &bench.stream, dead.subject()]).await;
    let publishes = bench.of("publish");
    assert!(sent.contains(&format!("\"traceparent\": \"{}\"", context(&publishes[0]))), "{sent}");
    for header in [
        format!("\"traceparent\": \"{}\"", context(&publishes[1])),
        format!("\"hopscope-dead-letter-context\": \"{}\"", context(&publishes[0])),
        "\"hopscope-dead-letter-error-type\": \"Declined\"".to_owned(),
        "\"hopscope-dead-letter-reason\": \"no cover\"".to_owned(),
        "\"hopscope-dead-letter-message-id\": \"s-1\"".to_owned(),
    ] {
        assert!(dead.contains(&header), "{header} in {dead}");
    }
}
