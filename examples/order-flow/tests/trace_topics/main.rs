//! Trace data by way of four real brokers: an adapter's sink writes it, the server reads it, the story is found. What is
//! read twice is there once, and while a broker is away nothing is lost.

mod amqp;
#[path = "../../../../crates/hopscope-server/tests/support/brokers.rs"]
mod brokers;
mod kafka;
#[path = "../../../../crates/hopscope-rdkafka/tests/broker/kit/proxy.rs"]
mod kafka_proxy;
mod nats;
mod rocketmq;

use brokers::unique;
use hopscope_client::Client;
use hopscope_sdk::kit::MapHeaders;
use hopscope_sdk::setup::{Batching, Compression, Counts, Export, Guard, Setup, TopicSink};
use hopscope_sdk::{Details, Place};
use hopscope_server::{Config, Running, Server};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::block_in_place;

/// Longest wait for what must come.
const WAIT: Duration = Duration::from_secs(60);

/// Of one message: send, poll, process.
const EVENTS: i64 = 3;

/// A server that reads, and what is told to it.
struct Story {
    server: Running,
    client: Client,
    guard: Guard,
    /// Of the messages that are told of, which are on no broker.
    orders: String,
    messages: i64,
}

impl Story {
    /// `sources`: a setting of the server and its value, none or one.
    async fn new(sources: &[(&str, String)], sink: impl TopicSink) -> Self {
        let given: Vec<_> = sources.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let config = hopscope_server::config::merge(None, [], &given).expect("a good configuration").config;
        let free = Config::on_free_ports("memory");
        let (data, listen, otlp_grpc, otlp_http) = (free.data, free.listen, free.otlp_grpc, free.otlp_http);
        let config = Config { data, listen, otlp_grpc, otlp_http, ..config };
        let server = Server::start(config).await.expect("a server");
        let client = Client::new(&format!("http://{}", server.addresses.http)).expect("a client");
        let setup = Setup {
            service: "checkout".into(),
            export: Export::Topic(Arc::new(sink)),
            compression: Some(Compression::Gzip),
            metrics: Some(false),
            batching: Batching::INTERACTIVE,
            ..Setup::default()
        };
        let guard = setup.start().expect("a set-up");
        Self { server, client, guard, orders: unique("orders"), messages: 0 }
    }

    /// Tells of that many messages more, each sent and processed.
    fn tell(&mut self, messages: i64) {
        let telemetry = self.guard.telemetry();
        for offset in self.messages..self.messages + messages {
            let at = |partition, offset| Place::Kafka { topic: &self.orders, partition, offset };
            let (sent, stored) = (at(None, None), at(Some(0), Some(offset)));
            let mut headers = MapHeaders::default();
            let sending = telemetry.send("send", sent, &Details::default());
            sending.inject(&mut headers);
            sending.confirm(stored, &Details::default());
            let details = Details { group: "payment", ..Details::default() };
            telemetry.receive("poll", stored, &details, &headers).process().succeed();
        }
        self.messages += messages;
    }

    /// Everything is with the broker.
    fn is_delivered(&self) {
        assert!(self.flush(WAIT), "{:?}", self.guard.counts());
        let all = (self.messages * EVENTS) as u64;
        assert_eq!(self.guard.counts(), Counts { ended: all, exported: all, ..Counts::default() });
    }

    fn flush(&self, deadline: Duration) -> bool {
        block_in_place(|| self.guard.flush(deadline))
    }

    /// Every message is told in the server, each event once, although it was read that many times at least.
    async fn is_told(&self, times: i64) {
        let all = self.messages * EVENTS;
        let read = async {
            loop {
                let status = self.client.status().await.expect("a status");
                let dropped = status.receivers.iter().flat_map(|receiver| &receiver.dropped);
                let twice = dropped.filter(|dropped| dropped.reason == "duplicate");
                let twice: i64 = twice.map(|dropped| dropped.events.0).sum();
                if status.stored_events.0 == all && twice >= all * (times - 1) {
                    return;
                }
                assert!(status.stored_events.0 <= all, "{status:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(WAIT, read).await.is_err() {
            panic!("expected {all} events, {:?}", self.client.status().await);
        }
        for offset in 0..self.messages {
            let reference = format!("kafka:{}/0/{offset}", self.orders);
            let answer = self.client.message(&reference, 1).await.expect(&reference);
            assert_eq!((answer.message.sender.as_str(), answer.trajectory.sends.len()), ("checkout", 1));
            let [group] = &answer.trajectory.groups[..] else { panic!("{:#?}", answer.trajectory) };
            assert_eq!((group.group.as_str(), group.state.as_str()), ("payment", "succeeded"));
            assert_eq!(group.attempts.len(), 1, "{:#?}", group.attempts);
        }
    }

    async fn end(self) {
        block_in_place(|| self.guard.shutdown(WAIT));
        self.server.stop().await.expect("a graceful stop");
    }
}
