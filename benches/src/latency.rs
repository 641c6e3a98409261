//! `latency`: what a send takes at a given rate, traced against raw.
//!
//! In every round a raw client, a traced one, and a second raw one send at that rate for a few seconds, one after the
//! other, in an order that changes. A send's time is from the call to the broker's confirmation. The two raw clients
//! say what a difference means on this machine.

use crate::client::{Broker, Client};
use crate::figure;
use crate::sink::Sink;
use crate::variation::{How, Variation};
use anyhow::Result;
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Share of messages that are sampled.
const SHARE: f64 = 0.1;
const TICK: Duration = Duration::from_millis(2);

/// 50th and 99th percentile of one round, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub p50_us: f64,
    pub p99_us: f64,
    /// Sends that were confirmed.
    pub sends: u64,
    /// The same, a second.
    pub per_second: f64,
}

/// Runs the rounds and prints the figures.
pub async fn run(brokers: &[Broker], rounds: usize, seconds: u64, rate: u32) -> Result<()> {
    for broker in brokers {
        let sink = Sink::start(false)?;
        let mut variations = Vec::new();
        for how in [How::Raw, How::Sampled(SHARE), How::Raw] {
            variations.push(Variation::open(*broker, how, &sink.endpoint).await?);
        }
        let mut measured = vec![Vec::new(); variations.len()];
        for round in 0..=rounds {
            for turn in 0..variations.len() {
                let index = (round + turn) % variations.len();
                let latency = at_rate(&*variations[index].client, rate, Duration::from_secs(seconds)).await?;
                if round > 0 {
                    measured[index].push(latency);
                }
            }
        }
        for variation in variations {
            variation.close().await;
        }
        let [raw, traced, again] = &measured[..] else { continue };
        let name = format!("latency.{}", broker.name());
        let rates: Vec<_> = traced.iter().map(|latency| latency.per_second).collect();
        figure::at_most(&format!("{name}.rate"), &rates, "messages/s", None);
        compare(&name, raw, traced, again);
    }
    Ok(())
}

/// Prints both percentiles: the difference must lie within 5 % of raw, or within what raw differs from raw.
pub fn compare(name: &str, raw: &[Latency], traced: &[Latency], again: &[Latency]) {
    let percentiles: [(&str, &dyn Fn(&Latency) -> f64); 2] =
        [("p50", &|latency| latency.p50_us), ("p99", &|latency| latency.p99_us)];
    for (percentile, read) in percentiles {
        let values = |latencies: &[Latency]| latencies.iter().map(read).collect::<Vec<_>>();
        let (raw, traced, again) = (values(raw), values(traced), values(again));
        let difference = |one: &[f64], other: &[f64]| -> Vec<f64> {
            one.iter().zip(other).map(|(one, other)| one - other).collect()
        };
        let (_, median, _) = figure::interval(&raw);
        // 95 of 100 rounds of raw against raw differ by no more.
        let mut noise: Vec<_> = difference(&again, &raw).into_iter().map(f64::abs).collect();
        noise.sort_by(f64::total_cmp);
        let allowed = (median * 0.05).max(figure::percentile(&noise, 0.95));
        figure::at_most(&format!("{name}.{percentile}.raw"), &raw, "us", None);
        let added = difference(&traced, &raw);
        figure::at_most(&format!("{name}.{percentile}.added"), &added, "us", Some(allowed));
    }
}

/// Sends at that rate for so long. What the client does not keep up with waits in the open, and counts.
pub async fn at_rate(client: &dyn Client, rate: u32, time: Duration) -> Result<Latency> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (started, mut sent) = (Instant::now(), 0_u64);
    let mut on_their_way = FuturesUnordered::new();
    let mut took = Vec::with_capacity((time.as_secs_f64() * f64::from(rate)) as usize);
    while started.elapsed() < time {
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                let due = (started.elapsed().as_secs_f64() * f64::from(rate)) as u64;
                for _ in sent..due {
                    on_their_way.push(timed(client));
                }
                sent = due.max(sent);
            }
            Some(one) = on_their_way.next() => took.push(one?),
        }
    }
    while let Some(one) = on_their_way.next().await {
        took.push(one?);
    }
    let per_second = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    Ok(Latency {
        p50_us: figure::percentile(&took, 0.5),
        p99_us: figure::percentile(&took, 0.99),
        sends: took.len() as u64,
        per_second,
    })
}

async fn timed(client: &dyn Client) -> Result<f64> {
    let started = Instant::now();
    client.send().await?;
    Ok(started.elapsed().as_secs_f64() * 1e6)
}
