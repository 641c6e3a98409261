//! Kafka's own Java client writes and we read, and the other way, on a real Kafka.

use crate::kit::{Bench, in_time};
use rdkafka::message::{Message, OwnedHeaders};
use std::path::Path;
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
