//! Brokers that are not there: at the start, and in the middle.

use super::nats::Subject;
use super::rabbitmq::Queue;
use super::support::brokers::{Wire, broker};
use super::support::{Rig, within};
use super::{a_trace, plain, stored, up};
use hopscope_server::Config;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_and_stops_without_its_brokers() {
    let given = [
        ("receive_kafka", "brokers=127.0.0.1:1"),
        ("receive_amqp", "url=amqp://guest:secret@127.0.0.1:1"),
        ("receive_nats", "servers=nats://127.0.0.1:1; servers=127.0.0.1:1 stream=HOPSCOPE"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = hopscope_server::config::merge(None, [], &given).expect("a good configuration").config;
    let free = Config::on_free_ports("memory");
    let config =
        Config { listen: free.listen, otlp_grpc: free.otlp_grpc, otlp_http: free.otlp_http, ..config };
    let rig = Rig::with(Config { data: free.data, ..config }).await;
    for receiver in ["kafka", "amqp", "nats", "nats-2"] {
        within(60, "the state is told", || async {
            let connection = rig.books(receiver).await.connection.expect("it reads from a broker");
            !connection.up && connection.why.as_deref() != Some("connecting")
        })
        .await;
    }
    let status = rig.http.get(rig.page("/api/v1/status")).send().await.expect("an answer");
    let status = status.text().await.expect("text");
    assert!(!status.contains("secret"), "{status}");
    let metrics = rig.http.get(rig.page("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    for line in [
        "hopscope_receiver_connected{receiver=\"kafka\"} 0",
        "hopscope_receiver_connected{receiver=\"nats-2\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let before = Instant::now();
    rig.stop().await;
    assert!(before.elapsed() < Duration::from_secs(20), "stopping took {:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_goes_away_and_comes_back() {
    let address = broker("HOPSCOPE_TEST_AMQP");
    let (login, rest) = address.split_once('@').expect("an address with a login");
    let (host, vhost) = rest.split_once('/').expect("an address with a vhost");
    let wire = Wire::to(host).await;
    let queue = Queue::new(Some(Default::default())).await;
    let trace = a_trace();
    let rig = Rig::with(queue.config_at(format!("{login}@{}/{vhost}", wire.address))).await;
    queue.put(&plain(trace, 1, 10)).await;
    stored(&rig, "amqp", 10).await;
    wire.cut();
    up(&rig, "amqp", false).await;
    queue.put(&plain(trace, 11, 10)).await;
    wire.mend();
    stored(&rig, "amqp", 20).await;
    assert_eq!(rig.events_of(trace).await, 20);
    let connection = rig.books("amqp").await.connection.expect("it reads from a broker");
    assert!(connection.up && connection.lost.0 == 1, "{connection:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_goes_away_and_comes_back() {
    let address = broker("HOPSCOPE_TEST_NATS");
    let wire = Wire::to(address.trim_start_matches("nats://")).await;
    let subject = Subject::kept().await;
    let trace = a_trace();
    let rig = Rig::with(subject.config(&format!("nats://{}", wire.address))).await;
    subject.put(&plain(trace, 1, 10)).await;
    stored(&rig, "nats", 10).await;
    wire.cut();
    up(&rig, "nats", false).await;
    subject.put(&plain(trace, 11, 10)).await;
    wire.mend();
    stored(&rig, "nats", 20).await;
    assert_eq!(rig.events_of(trace).await, 20);
    up(&rig, "nats", true).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_wrong_source_is_told_at_the_start_without_its_password() {
    let cases = [
        ("receive_kafka", "brokers=a:9092 sasl.pasword=hunter2", "name=sasl.pasword"),
        ("receive_kafka", "brokers=a:9092 security.protocol=ssl", "name=security.protocol"),
        ("receive_amqp", "url=amqp://guest:hunter2@a:b", "key=url"),
        ("receive_nats", "servers=nats://guest:hunter2@a:b", "server=nats://guest:***@a:b"),
    ];
    for (name, value, told) in cases {
        let given = [(name.to_owned(), value.to_owned())];
        let loaded = hopscope_server::config::merge(None, [], &given).expect("read when the server starts");
        let config = Config { data: "memory".to_owned(), ..loaded.config };
        let error = hopscope_server::Server::start(config).await.map(drop).expect_err(value);
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(text.contains(told), "{value}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
