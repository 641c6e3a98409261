//! Kafka's own Java client writes and we read, and the other way, on a real Kafka; and kafka-python, in the Python that
//! `HOPSCOPE_TEST_PYTHON` names.

use crate::kit::{Bench, in_time};
use rdkafka::message::{Header, Message, OwnedHeaders};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Runs the Java program beside this file; what it printed.
async fn java(bench: &Bench, arguments: &[&str]) -> String {
    let jars = hopscope_sdk::kit::broker("HOPSCOPE_TEST_KAFKA_JARS");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker/Records.java");
    let mut java = Command::new("java");
    java.arg("-cp").arg(format!("{jars}/*")).arg(program);
    java.arg(bench.config.get("bootstrap.servers").expect("set")).args(arguments).kill_on_drop(true);
    let output = in_time(java.output()).await.expect("java is installed, as for the broker");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn java_writes_and_we_read() {
    let bench = Bench::new(&[]).await;
    java(&bench, &["produce", &bench.topic]).await;
    let consumer = bench.consumer();
    for payload in ["agent", "handmade"] {
        let message = in_time(consumer.recv()).await.expect("a message");
        assert_eq!(message.message().payload(), Some(payload.as_bytes()));
        let origin = message.delivery().origin();
        let context = origin.context.clone().expect("a context");
        let ids = (context.trace_id().to_string(), context.span_id().to_string());
        assert_eq!(ids, ("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into()), "{payload}");
        assert_eq!(origin.problems, [""; 0], "{payload}");
    }
}

#[tokio::test]
async fn we_write_and_java_reads() {
    let bench = Bench::new(&[]).await;
    bench.send(OwnedHeaders::new()).await;
    let sent = bench.recorder.finished().remove(0).span_context;
    let read = java(&bench, &["consume", &bench.topic]).await;
    assert_eq!(read.trim(), format!("00-{}-{}-01", sent.trace_id(), sent.span_id()));
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Runs the Python program beside this file; what it printed.
async fn python(bench: &Bench, arguments: &[&str]) -> String {
    let python = std::env::var_os("HOPSCOPE_TEST_PYTHON").expect(
        "HOPSCOPE_TEST_PYTHON names a python with kafka-python; hint: `cargo xtask test` installs one",
    );
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker/foreign.py");
    let mut command = Command::new(python);
    command.arg(program).arg(bench.config.get("bootstrap.servers").expect("set"));
    command.args(arguments).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = in_time(command.output()).await.expect("python starts");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn what_kafka_python_writes_is_read() {
    let bench = Bench::new(&[]).await;
    python(&bench, &["send", &bench.topic, TRACEPARENT]).await;
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("a message");
    assert_eq!(message.delivery().origin().problems, [""; 0]);
    drop(message.process().succeed());
    let spans = bench.recorder.finished();
    assert_eq!(spans.len(), 2, "receive and process");
    for span in &spans {
        assert_eq!(span.span_context.trace_id().to_string(), TRACEPARENT[3..35]);
        assert_eq!(span.parent_span_id.to_string(), TRACEPARENT[36..52]);
        let key = span.attributes.iter().find(|set| set.key.as_str() == "messaging.kafka.message.key");
        assert_eq!(key.expect("a key").value.to_string(), "4711");
    }
}

#[tokio::test]
async fn what_we_write_kafka_python_reads() {
    let bench = Bench::new(&[]).await;
    // Their header is replaced, and the others stay byte for byte.
    let old = Header { key: "traceparent", value: Some(TRACEPARENT) };
    let raw = Header { key: "raw", value: Some(b"\xff\x00".as_slice()) };
    bench.send(OwnedHeaders::new().insert(old).insert(raw)).await;
    let sent = bench.recorder.finished().remove(0).span_context;
    let read = python(&bench, &["receive", &bench.topic]).await;
    let context = format!("00-{}-{}-01", sent.trace_id(), sent.span_id());
    assert_eq!(
        read.trim(),
        format!(r#"{{"headers": {{"raw": "\u00ff\u0000", "traceparent": "{context}"}}, "value": "{{}}"}}"#)
    );
}
