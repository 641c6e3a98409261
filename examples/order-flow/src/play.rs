//! The player: makes the topics, starts the services, places orders, and waits until all of them have arrived.

use crate::names::Names;
use crate::order::{BATCH, FIRST_ORDER, Order, Trouble};
use crate::report::{Said, What};
use crate::services::checkout::Placed;
use crate::stop::Stop;
use crate::{Common, report, topology};
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Options of `order-flow play`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Orders to place
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    orders: u32,
    /// Number of the first order; if absent, it goes on where the last run on these topics ended
    #[arg(long)]
    first: Option<u32>,
    /// Delete topics, queues and streams first: their positions start again
    #[arg(long)]
    fresh: bool,
    /// Longest wait for the orders to arrive, seconds
    #[arg(long, default_value_t = 120)]
    wait_s: u64,
    /// Let the services run on when all have arrived, until Ctrl-C
    #[arg(long)]
    stay: bool,
}

/// The services, and the arguments that only they take.
const SERVICES: [&str; 8] =
    ["checkout", "payment", "analytics", "fulfilment", "warehouse", "support", "shipping", "notify"];
/// Longest wait for the services to connect, and at the end to send their last spans.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// A service at work.
struct Service {
    name: &'static str,
    child: Child,
    /// Its standard input: it stops when this is dropped.
    hold: Option<ChildStdin>,
}

/// What was played, as JSON.
#[derive(Serialize)]
struct Played<'a> {
    suffix: &'a str,
    names: &'a Names,
    orders: Vec<PlayedOrder>,
}

#[derive(Serialize)]
struct PlayedOrder {
    /// Ends that it has not come to: the customer was told, or support has read the dead letter.
    #[serde(skip)]
    ends_left: usize,
    order: String,
    troubles: Vec<Trouble>,
    trace_id: String,
    /// Place on Kafka.
    partition: i32,
    offset: i64,
    /// `message_id` on RabbitMQ.
    payment_id: String,
    /// `Nats-Msg-Id`; empty where it did not come so far.
    shipment_id: String,
    /// RocketMQ's own id; empty where it did not come so far.
    notification_id: String,
    /// What payment wrote into its log.
    log: String,
}

pub(crate) async fn play(common: &Common, options: &Options) -> Result<()> {
    let names = Names::new(&common.suffix);
    topology::make(common, &names, options.fresh).await?;
    let first = match options.first {
        Some(first) => first,
        // Ids must not come again: JetStream would take the shipment for a duplicate.
        None => FIRST_ORDER.saturating_add(topology::orders_so_far(common, &names).await?),
    };
    let (say, mut said) = channel(1_024);
    let mut services = Vec::new();
    for service in SERVICES {
        services.push(start(service, common, options, say.clone())?);
    }
    drop(say);
    let wait = Duration::from_secs(options.wait_s);
    let played = tokio::select! {
        played = orders(&mut said, options, first, wait) => played,
        failed = first_end(&mut services) => Err(failed),
    };
    let result = match played {
        Ok(orders) => {
            show(common, &names, orders)?;
            if options.stay {
                report::log("play", "all orders have arrived; Ctrl-C ends the services");
                Stop::watch(common.supervised).requested().await;
            }
            Ok(())
        }
        Err(error) => Err(error),
    };
    // Whatever happened: no service is left behind.
    let stopped = stop(services).await;
    result.and(stopped)
}

fn show(common: &Common, names: &Names, orders: Vec<PlayedOrder>) -> Result<()> {
    let played = Played { suffix: &common.suffix, names, orders };
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&played)?)?;
    Ok(())
}

fn start(service: &'static str, common: &Common, options: &Options, say: Sender<Said>) -> Result<Service> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(service).arg("--supervised");
    command.arg(format!("--suffix={}", common.suffix)).args(["--otlp", &common.otlp]);
    let brokers = &common.brokers;
    command.args(["--kafka", &brokers.kafka, "--amqp", &brokers.amqp]);
    command.args(["--nats", &brokers.nats, "--rocketmq", &brokers.rocketmq]);
    if service == "analytics" {
        command.args(["--take", &batch(options).to_string()]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {service}"))?;
    let lines = child.stdout.take().context("standard output is piped")?;
    tokio::spawn(async move {
        let mut lines = BufReader::new(lines).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(line) => drop(say.send(line).await),
                // Client libraries print too.
                Err(_) => report::log(service, &line),
            }
        }
    });
    let hold = child.stdin.take();
    Ok(Service { name: service, child, hold })
}

/// Answers as soon as one of the services has ended: none should.
async fn first_end(services: &mut [Service]) -> anyhow::Error {
    let ends = services.iter_mut().map(|service| {
        let Service { name, child, .. } = service;
        Box::pin(async move { (*name, child.wait().await) })
    });
    let ((service, status), ..) = futures::future::select_all(ends).await;
    match status {
        Ok(status) => anyhow::anyhow!("{service} ended early: {status}"),
        Err(error) => anyhow::anyhow!("{service} cannot be watched: {error}"),
    }
}

/// Tells all services to stop, and waits for them.
async fn stop(mut services: Vec<Service>) -> Result<()> {
    services.iter_mut().for_each(|service| drop(service.hold.take()));
    for Service { name, mut child, .. } in services {
        let ended = tokio::time::timeout(STOP_MAX, child.wait()).await;
        let status = ended.with_context(|| format!("{name} does not stop"))??;
        if !status.success() {
            bail!("{name} failed: {status}");
        }
    }
    Ok(())
}

async fn orders(
    said: &mut Receiver<Said>,
    options: &Options,
    first: u32,
    wait: Duration,
) -> Result<Vec<PlayedOrder>> {
    let ready = tokio::time::timeout(START_MAX, ready(said)).await;
    let (checkout, mut is_behind) = ready.context("the services are not ready in time")??;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut planned: Vec<_> =
        (0..options.orders).map(|index| Order::planned(first, index, options.orders)).collect();
    let alone = planned.split_off(batch(options) as usize);
    let mut orders = Vec::new();
    let playing = async {
        if !planned.is_empty() {
            let url = format!("http://{checkout}/orders/batch");
            let answer = http.post(url).json(&planned).send().await?.error_for_status()?;
            let placed: Vec<Placed> = answer.json().await?;
            orders.extend(
                planned.into_iter().zip(placed).map(|(order, placed)| PlayedOrder::new(order, placed)),
            );
        }
        // What comes after is what analytics stays behind of.
        while !is_behind {
            is_behind = hear(said, &mut orders).await?;
        }
        for order in alone {
            let url = format!("http://{checkout}/orders");
            let answer = http.post(url).json(&order).send().await?.error_for_status()?;
            orders.push(PlayedOrder::new(order, answer.json().await?));
        }
        while orders.iter().any(|order| order.ends_left > 0) {
            hear(said, &mut orders).await?;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(wait, playing).await {
        Ok(result) => result.map(|()| orders),
        Err(_) => {
            let missing: Vec<_> =
                orders.iter().filter(|order| order.ends_left > 0).map(|order| &*order.order).collect();
            bail!("not all orders arrived in {} s, missing={missing:?}", wait.as_secs())
        }
    }
}

/// How many orders come together, before the others.
fn batch(options: &Options) -> u32 {
    BATCH.min(options.orders.saturating_sub(1))
}

/// Waits until every service has said that it is ready. Answers the address of checkout, and whether analytics has
/// read its orders already: those of an earlier run.
async fn ready(said: &mut Receiver<Said>) -> Result<(String, bool)> {
    let (mut waiting, mut checkout, mut is_behind) = (SERVICES.to_vec(), String::new(), false);
    while !waiting.is_empty() {
        let line = said.recv().await.context("every service has ended")?;
        waiting.retain(|service| *service != line.service);
        is_behind |= line.what == What::Behind;
        if line.service == "checkout" {
            checkout = line.id;
        }
    }
    Ok((checkout, is_behind))
}

/// Hears what a service says next; true where analytics says that it has read what it reads.
async fn hear(said: &mut Receiver<Said>, orders: &mut [PlayedOrder]) -> Result<bool> {
    let line = said.recv().await.context("every service has ended")?;
    let is_behind = line.what == What::Behind;
    if let Some(order) = orders.iter_mut().find(|order| order.order == line.order) {
        order.hear(line);
    }
    Ok(is_behind)
}

impl PlayedOrder {
    fn new(order: Order, placed: Placed) -> Self {
        let Placed { trace_id, partition, offset } = placed;
        let [payment_id, shipment_id, notification_id, log] = [const { String::new() }; 4];
        let ends_left = order.ends();
        let Order { order, troubles } = order;
        Self {
            order,
            troubles,
            trace_id,
            partition,
            offset,
            payment_id,
            shipment_id,
            notification_id,
            log,
            ends_left,
        }
    }

    fn hear(&mut self, line: Said) {
        self.ends_left = self.ends_left.saturating_sub(usize::from(line.what == What::Ended));
        match line.service.as_str() {
            "payment" => (self.payment_id, self.log) = (line.id, line.log),
            "fulfilment" => self.shipment_id = line.id,
            "shipping" => self.notification_id = line.id,
            _ => {}
        }
    }
}
