//! The connection to a real Kafka is cut in the middle of the work, and comes back.

use crate::kit::proxy::Proxy;
use crate::kit::{Bench, Counter, TIMEOUT, in_time};
use hopscope_rdkafka::{Options, Received};
use hopscope_sdk::work::Order;
use rdkafka::producer::FutureRecord;
use std::io::Error;
use std::time::Duration;

#[tokio::test]
async fn nothing_is_lost_and_nothing_is_committed_that_is_not_finished() {
    let mut bench = Bench::new(&[]).await;
    let proxy = Proxy::to(bench.config.get("bootstrap.servers").expect("set")).await;
    bench.config.set("bootstrap.servers", proxy.address()).set("reconnect.backoff.max.ms", "500");
    let producer = bench.producer();
    let send = async |payload: &str| {
        let record = FutureRecord::<str, str>::to(&bench.topic).payload(payload);
        in_time(producer.send(record, TIMEOUT)).await.expect("delivered, in the end");
    };
    let done = Counter::new();
    let counted = done.clone();
    let handler = move |_: Received| {
        counted.add();
        async { Ok::<_, Error>(()) }
    };
    let stop = async {
        send("before").await;
        done.reaches(1).await;
        proxy.cut();
        // Sent while there is no broker: it waits in the client.
        let (_, ()) = tokio::join!(send("meanwhile"), proxy.restore_after_a_refusal());
        done.reaches(2).await;
        send("after").await;
        done.reaches(3).await;
    };
    let options =
        Options { order: Order::ByLane, commit_every: Duration::from_millis(100), ..Options::default() };
    in_time(bench.consumer().run(options, handler, stop)).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(3));
    assert_eq!(bench.count("send"), 3);
    let told = bench.only(&["error.type", "hopscope.outcome"]);
    assert!(!told.contains("hopscope.outcome"), "every send and process has an end: {told}");
}
