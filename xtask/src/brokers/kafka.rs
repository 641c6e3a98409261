//! Apache Kafka from Maven Central: one process, broker and controller, KRaft.
//!
//! Not a cluster and not tuned for speed: settings are those that make tests quick (no rebalance delay, small
//! internal topics, short sessions). Topics are never created by accident; tests make them.

use super::install::{jars, need_java};
use super::process::{self, Stop};
use super::{Broker, Node, wire};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// The broker as data.
pub const BROKER: Broker = Broker {
    name: "kafka",
    version: VERSION,
    variable: "HOPSCOPE_TEST_KAFKA",
    ports: &[29092, 29093],
    processes: 1,
    address: |ports| format!("127.0.0.1:{}", ports[0]),
    install,
    start,
    ready,
    stop: Stop::Gently,
};

const VERSION: &str = "4.4.0";
/// Any 16 bytes in unpadded base64url.
const CLUSTER: &str = "aG9wc2NvcGUtdGVzdHMtMQ";

fn install(node: &Node) -> Result<()> {
    // kafka-tools-api 4.4.0 is not on Maven Central, and the broker does not need it.
    let dependencies = format!(
        "<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>\
         <exclusions><exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion></exclusions>\
         </dependency>\n\
         <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>\n"
    );
    jars(&node.software, "kafka", &dependencies)
}

fn start(node: &Node) -> Result<()> {
    need_java()?;
    let file = node.run.join("server.properties");
    fs::write(&file, properties(node))?;
    if !node.run.join("data/meta.properties").exists() {
        let mut format = java(node);
        format
            .args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER, "-c"])
            .arg(&file);
        process::run(&mut format, &node.run.join("format.log"), Duration::from_secs(60))?;
    }
    node.spawn(java(node).arg("kafka.Kafka").arg(&file))
}

fn java(node: &Node) -> Command {
    let mut java = Command::new("java");
    // C1 only and the serial collector: a quick start instead of a high throughput.
    java.args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .args(["-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
        .args(["-Dorg.slf4j.simpleLogger.showDateTime=true"])
        .args(["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"])
        .arg("-cp")
        .arg(node.software.join("libs/*"));
    java
}

fn properties(node: &Node) -> String {
    let (port, controller) = (node.ports[0], node.ports[1]);
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
{SETTINGS}",
        data = node.run.join("data").display()
    )
}

/// The three last groups: small internal topics; short group sessions; a restart that does not wait 9 s for the
/// lapse of its own old registration.
const SETTINGS: &str = "\
num.partitions=1
default.replication.factor=1
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
log.cleaner.enable=true
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=300000
initial.broker.registration.timeout.ms=20000
controlled.shutdown.enable=true

offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4

group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=10000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=500
group.share.min.record.lock.duration.ms=1000

broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
controller.quorum.election.timeout.ms=200
controller.quorum.election.backoff.max.ms=200
controller.quorum.fetch.timeout.ms=600
";

/// Ready means: Metadata names a broker, and every coordinator is loaded. The second matters: a broker that has
/// just started answers with an empty list of valid groups, and the first group of a test would wait for seconds.
fn ready(node: &Node) -> Result<()> {
    let mut client = Client { connection: wire::connect(node.ports[0])? };
    let brokers = client.ask(METADATA, 1, &0_i32.to_be_bytes())?;
    if i32_at(&brokers, 0)? == 0 {
        bail!("metadata names no broker yet");
    }
    // Java's hash of these names differs by one each, so they fall on all four partitions of the internal topics.
    for name in ["warm-0", "warm-1", "warm-2", "warm-3"] {
        for (kind, api) in [(0_u8, FIND_GROUP), (1, FIND_TRANSACTION)] {
            let answer = client.ask(FIND_COORDINATOR, 1, &[&string(name), [kind].as_slice()].concat())?;
            no_error(api, i16_at(&answer, 4)?)?;
        }
        let all_topics = (-1_i32).to_be_bytes();
        let offsets = client.ask(OFFSET_FETCH, 2, &[string(name).as_slice(), &all_topics].concat())?;
        no_error("OffsetFetch", i16_at(&offsets, 4)?)?;
        let timeout = 10_000_i32.to_be_bytes();
        let producer = client.ask(INIT_PRODUCER_ID, 0, &[string(name).as_slice(), &timeout].concat())?;
        no_error("InitProducerId", i16_at(&producer, 4)?)?;
    }
    Ok(())
}

// Keys and layouts: Kafka protocol guide. All versions used are the last ones before compact encodings.
const METADATA: i16 = 3;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const INIT_PRODUCER_ID: i16 = 22;
const FIND_GROUP: &str = "FindCoordinator of groups";
const FIND_TRANSACTION: &str = "FindCoordinator of transactions";

struct Client {
    connection: std::net::TcpStream,
}

impl Client {
    /// Sends one request; returns the answer's body, after the correlation id.
    fn ask(&mut self, api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
        let correlation = 1_i32.to_be_bytes();
        let header =
            [&api.to_be_bytes(), &version.to_be_bytes(), correlation.as_slice(), &string("xtask")].concat();
        wire::send_sized(&mut self.connection, &[header.as_slice(), body].concat())?;
        let answer = wire::receive_sized(&mut self.connection)?;
        Ok(answer.get(4..).context("answer without correlation id")?.to_vec())
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn i32_at(bytes: &[u8], at: usize) -> Result<i32> {
    let slice = bytes.get(at..at + 4).context("answer is cut off")?;
    Ok(i32::from_be_bytes(slice.try_into()?))
}

fn i16_at(bytes: &[u8], at: usize) -> Result<i16> {
    let slice = bytes.get(at..at + 2).context("answer is cut off")?;
    Ok(i16::from_be_bytes(slice.try_into()?))
}

fn no_error(api: &str, code: i16) -> Result<()> {
    if code != 0 {
        bail!("{api} answers with error_code={code}");
    }
    Ok(())
}
