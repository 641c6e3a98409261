//! The server has no receiver for RocketMQ: what a raw consumer reads is given to it by hand, as it is.

use super::brokers::{broker, unique};
use super::{Story, WAIT};
use hopscope_rocketmq::RocketMqSink;
use rocketmq_client_rust::{
    ClientConfig, ClientRuntime, ClientRuntimeConfig, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus,
    DefaultMQProducer, DefaultMQPushConsumer, MQPushConsumer as _, TelemetryHandle,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use tokio::sync::mpsc::unbounded_channel;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocketmq_carries_it() {
    let owner = RuntimeOwner::plan(RuntimeConfig::default()).expect("a plan").build().expect("a runtime");
    let runtime = ClientRuntime::try_new(
        owner.root_context().component("client"),
        ClientRuntimeConfig::default(),
        TelemetryHandle::noop(),
    );
    let runtime = runtime.expect("a client runtime");
    let config = ClientConfig {
        namesrv_addr: Some(broker("HOPSCOPE_TEST_ROCKETMQ").into()),
        vip_channel_enabled: false,
        ..ClientConfig::default()
    };
    let topic = unique("hopscope-trace");
    let mut producer = DefaultMQProducer::builder(runtime.clone())
        .client_config(config.clone())
        .producer_group(unique("producer"))
        .build();
    producer.start().await.expect("started");
    let mut story = Story::new(&[], RocketMqSink::new(producer).to(&topic)).await;
    story.tell(5);
    story.is_delivered();

    let mut consumer = DefaultMQPushConsumer::builder(runtime)
        .client_config(config)
        .consumer_group(unique("hopscope"))
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .build();
    consumer.subscribe(&topic, "*").await.expect("subscribed");
    let (seen, mut received) = unbounded_channel();
    consumer.register_message_listener_concurrently(
        move |messages: &[&MessageExt], _: &ConsumeConcurrentlyContext| {
            for message in messages {
                let header = |name: &'static str| message.user_property(&name.into()).unwrap_or_default();
                let headers = ["content-type", "content-encoding", "hopscope-signal"].map(header);
                let _ = seen.send((message.body().unwrap_or_default(), headers));
            }
            Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
        },
    );
    consumer.start().await.expect("started");
    let http = reqwest::Client::new();
    let url = format!("http://{}/v1/traces", story.server.addresses.otlp_http);
    let give = async {
        while story.client.status().await.expect("a status").stored_events.0 < story.messages * super::EVENTS
        {
            let (body, [kind, encoding, signal]) = received.recv().await.expect("a listener");
            assert_eq!(signal.as_str(), "traces");
            // Twice, as who reads again after a crash does.
            for _ in 0..2 {
                let request = http.post(&url).header("content-type", kind.as_str()).body(body.to_vec());
                let answer = request.header("content-encoding", encoding.as_str()).send().await;
                assert!(answer.expect("an answer").status().is_success());
            }
        }
    };
    tokio::time::timeout(WAIT, give).await.expect("in time");
    story.is_told(2).await;
    consumer.shutdown().await;
    story.end().await;
    owner.shutdown_background();
}
