//! Interoperation with RocketMQ's own client, in Java, and with trace headers made by hand.

use crate::kit::{Bench, attribute, body, named, next, options, told};
use hopscope_rocketmq::Traced;
use hopscope_sdk::kit;
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use std::process::Stdio;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/Foreign.java");

/// Java reads the context that we wrote, and we read the one that it made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_java_client_reads_our_context_and_we_read_headers_made_by_hand() {
    let jars =
        std::env::var("HOPSCOPE_TEST_ROCKETMQ_JARS").expect("the broker's jars: `cargo xtask test` sets it");
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let answers = kit::unique("answers");
    let mut java = tokio::process::Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-Drocketmq.client.logLevel=ERROR"])
        .args(["-cp", &format!("{jars}/*"), SOURCE])
        .args([&kit::broker("HOPSCOPE_TEST_ROCKETMQ"), &bench.topic, &answers, &bench.group])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("java 17");
    assert!(java.wait().await.expect("an end").success(), "it took our message and sent its own");

    let mut consumer = bench.consumer(&answers, &format!("{}-answers", bench.group)).await;
    let (calls, mut called) = told();
    let (seen, mut seen_by_java) = tokio::sync::watch::channel(String::new());
    let handler = async move |message: &Traced<&MessageExt>| {
        assert_eq!(body(message.message()), "done");
        let properties = message.message().get_properties();
        seen.send_replace(properties.get("seen").map(ToString::to_string).unwrap_or_default());
        let _ = calls.send(1);
        Ok::<(), std::fmt::Error>(())
    };
    let stop = async {
        next(&mut called).await;
    };
    consumer.run(options(), handler, stop).await.expect("started");

    let spans = bench.recorder.finished();
    let sent = &named(&spans, "send")[0].span_context;
    let traceparent = format!("00-{}-{}-01", sent.trace_id(), sent.span_id());
    assert_eq!(*seen_by_java.borrow_and_update(), traceparent);
    let [processed] = named(&spans, "process")[..] else { panic!("one message") };
    let made = &processed.links[0].span_context;
    assert_eq!((made.trace_id(), made.span_id().to_string().as_str()), (sent.trace_id(), "00f067aa0ba902b7"));
    assert_eq!(attribute(processed, "error.type"), "");
    bench.close();
}
