//! The README's table of what is recorded, compared with what a real Kafka made of it.
//! `UPDATE_EXPECT=1` rewrites it.

use crate::kit::{Bench, TIMEOUT, in_time};
use hopscope_rdkafka::{DeadLetter, Options, Received};
use hopscope_sdk::kit;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::FutureRecord;
use std::path::Path;

/// Sends alone and in a batch; a handler that fails, and its dead letter; commits.
async fn everything(bench: &Bench) {
    let dead = DeadLetter::name(&bench.topic, "payment");
    bench.make(&dead, 1, &[]).await;
    bench.send(OwnedHeaders::new()).await;
    let record = || FutureRecord::to(&bench.topic).key("4711").payload("{}");
    let sent = in_time(bench.producer().send_batch(vec![record(), record()], TIMEOUT)).await;
    assert!(sent.iter().all(Result::is_ok));
    let handler = |message: Received| async move {
        match rdkafka::message::Message::offset(message.message()) {
            0 => Err(std::io::Error::other("no cover")),
            _ => Ok(()),
        }
    };
    let options =
        Options { dead_letter: Some(DeadLetter::to(bench.producer(), &dead)), ..Options::default() };
    let stop = async {
        while bench.count("process") < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    in_time(bench.consumer().run(options, handler, stop)).await.expect("a clean end");
    let reader = bench.reader(&dead);
    in_time(reader.recv()).await.expect("the dead letter");
}

#[tokio::test]
async fn the_table_of_what_is_recorded() {
    let bench = Bench::new(&[]).await;
    everything(&bench).await;
    let cluster = "messaging.kafka.cluster.id";
    let about_it = "; `messaging.kafka.cluster.id` once the client knows it";
    let recorded = kit::recorded(&bench.recorder.finished(), "topic", &[cluster], about_it);
    kit::readme_is_current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), &recorded);
}
