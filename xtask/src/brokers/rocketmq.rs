//! Apache RocketMQ from Maven Central: a name server and one broker that stores client traces.
//!
//! No proxy: gRPC clients write no trace records, and our SDK speaks the remoting protocol.

use super::install::{jars, need_java};
use super::process::Stop;
use super::{Broker, Node, wire};
use anyhow::{Result, bail};
use std::fs;
use std::process::Command;

/// The broker as data. The high-availability port (broker port + 1) binds every interface: there is no setting.
pub const BROKER: Broker = Broker {
    name: "rocketmq",
    version: VERSION,
    variable: "HOPSCOPE_TEST_ROCKETMQ",
    ports: &[29876, 30911, 30909, 30912],
    processes: 2,
    address: |ports| format!("127.0.0.1:{}", ports[0]),
    install,
    start,
    ready,
    // A clean stop takes 13 to 18 s; nothing was lost by SIGKILL.
    stop: Stop::AtOnce,
};

const VERSION: &str = "5.5.0";
// Request codes of the remoting protocol.
const UPDATE_BROKER_CONFIG: u16 = 25;
const GET_BROKER_CLUSTER_INFO: u16 = 106;

fn install(node: &Node) -> Result<()> {
    let artifact = |name| {
        format!(
            "<dependency><groupId>org.apache.rocketmq</groupId><artifactId>{name}</artifactId><version>{VERSION}</version></dependency>\n"
        )
    };
    jars(&node.software, "rocketmq", &(artifact("rocketmq-namesrv") + &artifact("rocketmq-broker")))
}

/// Both at once; how the broker finds its name server, see [`ready`].
fn start(node: &Node) -> Result<()> {
    need_java()?;
    let conf = node.run.join("conf");
    fs::create_dir_all(&conf)?;
    fs::create_dir_all(node.run.join("data"))?;
    fs::write(conf.join("rmq.logback.xml"), LOGGING)?;
    fs::write(conf.join("namesrv.conf"), name_server(node))?;
    fs::write(conf.join("broker.conf"), broker(node))?;
    let name_server = ["-Xms64m", "-Xmx128m", "-XX:MaxDirectMemorySize=64m"];
    let broker = ["-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m"];
    node.spawn(&mut java(node, name_server, "org.apache.rocketmq.namesrv.NamesrvStartup", "namesrv.conf"))?;
    node.spawn(&mut java(node, broker, "org.apache.rocketmq.broker.BrokerStartup", "broker.conf"))
}

fn java(node: &Node, memory: [&str; 3], class: &str, conf: &str) -> Command {
    let run = node.run.display();
    let mut java = Command::new("java");
    java.args(memory)
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
        .arg(format!("-Duser.home={run}"))
        .arg(format!("-Drocketmq.home.dir={run}"))
        .arg("-cp")
        .arg(format!("{run}/conf:{}/libs/*", node.software.display()))
        .args([class, "-c"])
        .arg(node.run.join("conf").join(conf))
        .env("ROCKETMQ_HOME", &node.run);
    java
}

fn name_server(node: &Node) -> String {
    format!(
        "\
listenPort={port}
bindAddress=127.0.0.1
rocketmqHome={run}
kvConfigPath={run}/data/namesrv/kvConfig.json
configStorePath={run}/data/namesrv/namesrv.properties
",
        port = node.ports[0],
        run = node.run.display()
    )
}

/// The mapped files are small, because a test store is.
///
/// An idle broker should be idle. Once it has ended a transaction, 5.5.0 polls without a pause for operations to write that
/// are older than `transactionOpBatchInterval`: so they are written one by one, at once, and the interval is an hour. The timer's
/// wheel, 37 MB, is compared and flushed at every `timerFlushIntervalMs`, one second by default.
fn broker(node: &Node) -> String {
    format!(
        "\
brokerClusterName=DefaultCluster
brokerName=broker-a
brokerId=0
brokerRole=ASYNC_MASTER
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
bindAddress=127.0.0.1
listenPort={port}
namesrvAddr=127.0.0.1:{name_server}
storePathRootDir={run}/data/store
storePathCommitLog={run}/data/store/commitlog
traceTopicEnable=true
autoCreateTopicEnable=true
autoCreateSubscriptionGroup=true
enablePropertyFilter=true
recallMessageEnable=true
messageDelayLevel=1s 2s 3s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 1h
transactionCheckInterval=3000
transactionTimeOut=3000
transactionOpMsgMaxSize=1
transactionOpBatchInterval=3600000
timerFlushIntervalMs=60000
mappedFileSizeCommitLog=67108864
mappedFileSizeConsumeQueue=600000
mappedFileSizeTimerLog=10485760
maxHashSlotNum=100000
maxIndexNum=400000
diskMaxUsedSpaceRatio=95
flushDiskType=ASYNC_FLUSH
",
        port = node.ports[1],
        name_server = node.ports[0],
        run = node.run.display()
    )
}

/// First on the class path; otherwise the jars' own file prints pages of status and writes logs to the home folder.
/// The transaction check warns every three seconds that there is nothing to check.
const LOGGING: &str = r#"<configuration>
  <appender name="OUT" class="org.apache.rocketmq.logging.ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{yyyy-MM-dd HH:mm:ss.SSS,UTC} %p %logger{0} %t - %m%n</pattern></encoder>
  </appender>
  <logger name="RocketmqTransaction" level="ERROR"/>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"#;

/// The broker's port opens before it can be used; it is ready when the name server knows it.
///
/// At its start the broker often loses a race against its own check of the name server, does not register, and
/// tries again only 10 s later. Setting its permission (to what it is) makes it register at once.
fn ready(node: &Node) -> Result<()> {
    let brokers = ask(node.ports[0], GET_BROKER_CLUSTER_INFO, "")?;
    if !brokers.contains("broker-a") {
        ask(node.ports[1], UPDATE_BROKER_CONFIG, "brokerPermission=6")?;
        bail!("the name server does not know the broker yet");
    }
    wire::connect(node.ports[1]).map(drop)
}

/// Sends one request of the remoting protocol: size, size of the JSON header, header, body.
fn ask(port: u16, code: u16, body: &str) -> Result<String> {
    let header = serde_json::json!({
        "code": code, "language": "OTHER", "version": 0, "opaque": 1, "flag": 0, "serializeTypeCurrentRPC": "JSON",
    })
    .to_string();
    let mut connection = wire::connect(port)?;
    let size = (header.len() as u32).to_be_bytes();
    wire::send_sized(&mut connection, &[&size, header.as_bytes(), body.as_bytes()].concat())?;
    Ok(String::from_utf8_lossy(&wire::receive_sized(&mut connection)?).into_owned())
}
