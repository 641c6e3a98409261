//! `black-hole`: the endpoint takes connections and never answers, for minutes, at a high rate and full sampling.
//!
//! A raw client, the traced one and a second raw one send in turns. The traced one's telemetry stays in the black hole
//! all the time: its queue fills within the first seconds. At the end every span that ended is accounted for: still
//! queued, or dropped and counted.

use crate::client::Broker;
use crate::cpu;
use crate::figure;
use crate::latency::{at_rate, compare};
use crate::sink::Sink;
use crate::variation::{How, Variation};
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

/// Each turn.
const TURN: Duration = Duration::from_secs(3);

/// What the queue may hold, and a tenth.
const QUEUE_BYTES_MAX: f64 = 16.0 * 1024.0 * 1024.0 * 1.1;

/// Runs it and prints the figures.
pub async fn run(broker: Broker, time: Duration, rate: u32) -> Result<()> {
    let sink = Sink::start(true)?;
    let mut variations = Vec::new();
    for how in [How::Raw, How::Sampled(1.0), How::Raw] {
        variations.push(Variation::open(broker, how, &sink.endpoint).await?);
    }
    let started = Instant::now();
    let mut measured = vec![Vec::new(); variations.len()];
    let (mut round, mut settled_bytes, mut sent) = (0, None, 0_u64);
    while started.elapsed() < time {
        for turn in 0..variations.len() {
            let index = (round + turn) % variations.len();
            let latency = at_rate(&*variations[index].client, rate, TURN).await?;
            if index == 1 {
                sent += latency.sends;
            }
            if round > 0 {
                measured[index].push(latency);
            }
        }
        round += 1;
        // By now the queue is full, and whatever the clients hold they hold.
        if round == SETTLED_ROUNDS {
            settled_bytes = Some(cpu::resident_bytes());
        }
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let guard = variations[1].guard().context("it is traced")?;
    let counts = guard.counts();
    figure::tell("black_hole.minutes", minutes, "min");
    figure::tell("black_hole.dropped", counts.dropped as f64, "spans");
    figure::tell("black_hole.queued", counts.queued as f64, "spans");
    let accounted = counts.dropped + counts.queued + counts.exported + counts.failed;
    figure::holds(
        "black_hole.accounted",
        &format!("{accounted} of {sent}"),
        "every traced send",
        counts.ended == sent && accounted == sent && counts.dropped > 0 && counts.exported == 0,
    );
    figure::at_most("black_hole.queue", &[counts.queued_bytes as f64], "bytes", Some(QUEUE_BYTES_MAX));
    if let Some(settled) = settled_bytes {
        let grown = cpu::resident_bytes() as f64 - settled as f64;
        figure::at_most("black_hole.memory_growth", &[grown / 1e6], "MB", Some(GROWTH_MB_MAX));
    }
    let [raw, traced, again] = &measured[..] else { return Ok(()) };
    compare("black_hole", raw, traced, again);
    for variation in variations {
        variation.close().await;
    }
    Ok(())
}

/// Rounds until memory is looked at for the first time: 16 MiB of spans are full after two turns.
const SETTLED_ROUNDS: usize = 4;

/// A leak of every dropped span would be hundreds of times this in ten minutes.
const GROWTH_MB_MAX: f64 = 16.0;
