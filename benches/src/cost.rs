//! `sdk`: CPU that tracing adds to a message, and the throughput that is left.
//!
//! In every round each variation sends so many messages, all confirmed, and consumes them; the order changes from round
//! to round. CPU is that of the whole process: client threads, export thread, serialisation and the requests to a sink
//! in another process, which is flushed within the measured time. What is added is the difference to the raw client in
//! the same round; figures are medians over rounds, with the 95 % interval of the median.

use crate::client::{Broker, send_all};
use crate::cpu;
use crate::figure;
use crate::sink::Sink;
use crate::variation::{How, Variation};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Raw first: the others are compared with it.
const VARIATIONS: [How; 6] =
    [How::Raw, How::Header, How::Sampled(0.01), How::Sampled(0.1), How::Sampled(1.0), How::Bare(0.01)];

/// One phase of one round, for each message.
#[derive(Clone, Copy)]
struct Cost {
    cpu_us: f64,
    per_second: f64,
}

/// Measured so far: by phase, for each variation, round by round.
type Costs = BTreeMap<&'static str, Vec<Vec<Cost>>>;

/// Runs the rounds and prints the figures.
pub async fn run(brokers: &[Broker], only: &[String], rounds: usize) -> Result<()> {
    let is_chosen = |how: &How| only.is_empty() || *how == How::Raw || only.contains(&how.name());
    let chosen: Vec<How> = VARIATIONS.into_iter().filter(is_chosen).collect();
    for broker in brokers {
        let sink = Sink::start(false)?;
        let mut variations = Vec::new();
        for &how in &chosen {
            variations.push(Variation::open(*broker, how, &sink.endpoint).await?);
        }
        let mut costs = Costs::new();
        // The first round warms everything up.
        for round in 0..=rounds {
            for turn in 0..variations.len() {
                let index = (round + turn) % variations.len();
                let (send, consume) = one_round(*broker, &mut variations[index]).await?;
                if round > 0 {
                    for (phase, cost) in [("send", send), ("consume", consume)] {
                        let of_phase = costs.entry(phase).or_insert_with(|| vec![Vec::new(); chosen.len()]);
                        of_phase[index].push(cost);
                    }
                }
            }
        }
        for variation in variations {
            variation.close().await;
        }
        print(*broker, &chosen, &costs);
    }
    Ok(())
}

async fn one_round(broker: Broker, variation: &mut Variation) -> Result<(Cost, Cost)> {
    let messages = broker.messages();
    let (cpu, clock) = (cpu::process(), Instant::now());
    send_all(&*variation.client, messages, broker.window()).await?;
    let took = clock.elapsed();
    ensure!(variation.flush(), "the sink does not take what is exported");
    let send = cost(messages, cpu::process() - cpu, took);

    let cpu = cpu::process();
    let took = variation.client.consume(messages).await?;
    ensure!(variation.flush(), "the sink does not take what is exported");
    Ok((send, cost(messages, cpu::process() - cpu, took)))
}

fn cost(messages: usize, cpu: Duration, took: Duration) -> Cost {
    let messages = messages as f64;
    Cost {
        cpu_us: cpu.as_secs_f64() * 1e6 / messages,
        per_second: messages / took.as_secs_f64().max(f64::MIN_POSITIVE),
    }
}

fn print(broker: Broker, chosen: &[How], costs: &Costs) {
    let name = broker.name();
    figure::note(&format!("sdk.{name}"), &format!("512 B; {}", broker.settings()));
    for (phase, variations) in costs {
        let raw = &variations[0];
        let of = |costs: &[Cost], read: &dyn Fn(&Cost) -> f64| costs.iter().map(read).collect::<Vec<_>>();
        let raw_cpu = of(raw, &|cost| cost.cpu_us);
        figure::at_most(&format!("sdk.{name}.{phase}.raw"), &raw_cpu, "us CPU/message", None);
        figure::at_most(
            &format!("sdk.{name}.{phase}.raw.throughput"),
            &of(raw, &|cost| cost.per_second),
            "messages/s",
            None,
        );
        for (how, costs) in chosen.iter().zip(variations).skip(1) {
            let named = |what: &str| format!("sdk.{name}.{phase}.{what} at {}", how.name());
            let added: Vec<_> =
                costs.iter().zip(raw).map(|(traced, raw)| traced.cpu_us - raw.cpu_us).collect();
            figure::at_most(&named("added"), &added, "us CPU/message", gate(phase, *how));
            let (_, raw_us, _) = figure::interval(&raw_cpu);
            let (_, added_us, _) = figure::interval(&added);
            let left: Vec<_> =
                costs.iter().zip(raw).map(|(traced, raw)| traced.per_second / raw.per_second).collect();
            let expected = 0.95 * raw_us / (raw_us + added_us.max(0.0));
            figure::at_least(&named("throughput left"), &left, "of raw", expected);
        }
    }
}

fn gate(phase: &str, how: How) -> Option<f64> {
    let How::Sampled(share) = how else { return None };
    let gates = if phase == "send" { [0.4, 0.8, 5.0] } else { [0.8, 1.2, 8.0] };
    [0.01, 0.1, 1.0].iter().zip(gates).find(|(of, _)| **of == share).map(|(_, gate)| gate)
}
