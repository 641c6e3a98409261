use super::brokers::{broker, unique};
use super::kafka_proxy::Proxy;
use super::{Story, WAIT};
use hopscope_rdkafka::KafkaSink;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_carries_it_through_an_outage_and_two_groups_that_read_it() {
    let (address, topic) = (broker("HOPSCOPE_TEST_KAFKA"), unique("hopscope.trace"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &address);
    let admin: AdminClient<_> = config.create().expect("a valid configuration");
    let new = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
    for made in admin.create_topics([&new], &AdminOptions::new()).await.expect("a broker that answers") {
        made.expect("a new topic");
    }
    let source = |group| format!("brokers={address} topics={topic} group={topic}-{group}");
    let sources = [("receive_kafka", format!("{}; {}", source("a"), source("b")))];
    let proxy = Proxy::to(&address).await;
    config.set("bootstrap.servers", proxy.address()).set("reconnect.backoff.max.ms", "500");
    let sink = KafkaSink::from_config(&config).expect("a valid configuration").to(&topic);
    let mut story = Story::new(&sources, sink).await;
    story.tell(5);
    story.is_delivered();
    story.is_told(2).await;

    proxy.cut();
    story.tell(5);
    assert!(!story.flush(Duration::from_secs(1)), "nobody takes them");
    tokio::time::timeout(WAIT, proxy.restore_after_a_refusal()).await.expect("it tries again");
    story.is_delivered();
    story.is_told(2).await;
    story.end().await;
}
