//! `cargo xtask bench`: runs the benchmarks, compares each figure with its gate.
//!
//! A benchmark prints figures on stdout, one JSON object a line: `{"name", "value", "unit", "gate", "pass"}`. It
//! decides itself whether its gate is met; this chore collects, shows and sets the exit code. Add one to [`BENCHES`].

use crate::{brokers, run};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::{Command, Stdio};

/// What there is to run.
const BENCHES: &[(&str, Bench)] = &[
    ("decode", Bench::Target("hopscope-wire", "decode")),
    ("segments", Bench::Target("hopscope-store", "store")),
    ("store", Bench::Target("hopscope-server", "store")),
    ("replay", Bench::Target("hopscope-store", "replay")),
    ("ingest", Bench::Target("hopscope-server", "ingest")),
    ("trace", Bench::Target("hopscope", "huge_trace")),
    ("context", Bench::Target("hopscope-sdk", "context")),
    ("meters", Bench::Target("hopscope-sdk", "meters")),
    ("steps", Bench::Target("hopscope-sdk", "steps")),
    ("sdk", Bench::Clients),
    ("latency", Bench::Campaign),
    ("black-hole", Bench::Campaign),
];

/// How a benchmark is run.
#[derive(Clone, Copy, PartialEq)]
enum Bench {
    /// A bench target of a package.
    Target(&'static str, &'static str),
    /// A command of `hopscope-bench` against real brokers.
    Clients,
    /// The same, and it takes so long that it is run by its name alone.
    Campaign,
}

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Only this benchmark
    #[arg(value_parser = BENCHES.iter().map(|(name, ..)| *name).collect::<Vec<_>>())]
    name: Option<String>,
    /// Print one JSON object a figure
    #[arg(long)]
    json: bool,
    /// Of `store`: how many spans, as `2m` or `100m`. A run that was cut goes on where it was
    #[arg(long)]
    records: Option<String>,
    /// Options of `sdk`, `latency` and `black-hole`, after `--`; `-- --help` lists them
    #[arg(last = true)]
    more: Vec<String>,
}

/// One measured figure.
#[derive(Serialize, Deserialize)]
struct Figure {
    name: String,
    value: Value,
    unit: String,
    /// Ends of the 95 % interval, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<(f64, f64)>,
    /// What must be reached, for people; null if the figure is only informative.
    #[serde(default)]
    gate: Value,
    pass: bool,
}

/// Runs the chosen benchmarks; false if one gate is missed.
pub fn bench(options: &Options) -> Result<bool> {
    let mut figures = Vec::new();
    for (name, bench) in BENCHES {
        let is_chosen = match &options.name {
            Some(chosen) => chosen == name,
            None => *bench != Bench::Campaign,
        };
        if is_chosen {
            let measured = match bench {
                Bench::Target(package, target) => target_command(package, target, options),
                Bench::Clients | Bench::Campaign => clients_command(name, &options.more)?,
            };
            figures.extend(measure(measured).with_context(|| format!("benchmark {name}"))?);
        }
    }
    for figure in &figures {
        if options.json {
            println!("{}", serde_json::to_string(figure)?);
        } else {
            println!("{}", row(figure));
        }
    }
    Ok(figures.iter().all(|figure| figure.pass))
}

fn target_command(package: &str, target: &str, options: &Options) -> Command {
    let mut cargo = run::cargo();
    cargo.args(["bench", "--package", package, "--bench", target]);
    if options.name.is_some() {
        cargo.arg("--").args(&options.more);
        if let Some(records) = &options.records {
            // A folder that stays: such a run takes long, and what it filled can be looked into again.
            let folder = run::target_folder().join(format!("bench-{target}-{records}"));
            cargo.args(["--records", records, "--folder"]).arg(folder);
        }
    }
    cargo
}

fn clients_command(name: &str, more: &[String]) -> Result<Command> {
    let up = brokers::up(&brokers::Chosen::default(), false)?;
    ensure!(up.failed.is_empty(), "{}", up.failed.join("\n"));
    let mut cargo = run::cargo();
    cargo.envs(up.addresses);
    cargo.args(["run", "--release", "--package", "hopscope-bench", "--", name]).args(more);
    Ok(cargo)
}

fn measure(mut command: Command) -> Result<Vec<Figure>> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (figures, other): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('{'));
    other.iter().for_each(|line| eprintln!("{line}"));
    if !output.status.success() {
        bail!("it failed: {}", output.status);
    }
    if figures.is_empty() {
        bail!("it printed no figure");
    }
    figures
        .iter()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a figure: {line}")))
        .collect()
}

fn row(figure: &Figure) -> String {
    let gate = match &figure.gate {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let verdict = if figure.pass { "ok" } else { "MISSED" };
    let value = match figure.interval {
        Some((low, high)) => format!("{} ({low} to {high})", figure.value),
        None => figure.value.to_string(),
    };
    format!("{:<44} {value:>16} {:<12} gate {gate:<14} {verdict}", figure.name, figure.unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_may_have_a_gate_or_none() {
        let figure = |text| serde_json::from_str::<Figure>(text).expect("a figure");
        let with = figure(r#"{"name":"a","value":3.5,"unit":"x","gate":">= 3","pass":false}"#);
        assert!(row(&with).ends_with("gate >= 3           MISSED"), "{}", row(&with));
        let without = figure(r#"{"name":"a","value":3,"unit":"MiB","pass":true}"#);
        assert!(row(&without).contains("gate - "));
    }
}
