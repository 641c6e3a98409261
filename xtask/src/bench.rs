//! `cargo xtask bench`: runs the benchmarks, compares each figure with its gate.
//!
//! A benchmark prints figures on stdout, one JSON object a line: `{"name", "value", "unit", "gate", "pass"}`. It
//! decides itself whether its gate is met; this chore collects, shows and sets the exit code. Add one to [`BENCHES`].

use crate::run;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::Stdio;

/// Name, package, bench target.
const BENCHES: &[(&str, &str, &str)] = &[
    ("decode", "hopscope-wire", "decode"),
    ("store", "hopscope-store", "store"),
    ("ingest", "hopscope-server", "ingest"),
    ("trace", "hopscope", "huge_trace"),
    ("meters", "hopscope-sdk", "meters"),
];

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Only this benchmark
    #[arg(value_parser = BENCHES.iter().map(|(name, ..)| *name).collect::<Vec<_>>())]
    name: Option<String>,
    /// Print one JSON object a figure
    #[arg(long)]
    json: bool,
}

/// One measured figure.
#[derive(Serialize, Deserialize)]
struct Figure {
    name: String,
    value: Value,
    unit: String,
    /// What must be reached, for people; null if the figure is only informative.
    #[serde(default)]
    gate: Value,
    pass: bool,
}

/// Runs the chosen benchmarks; false if one gate is missed.
pub fn bench(options: &Options) -> Result<bool> {
    let mut figures = Vec::new();
    for (name, package, target) in BENCHES {
        if options.name.as_deref().is_none_or(|chosen| chosen == *name) {
            figures.extend(measure(package, target).with_context(|| format!("benchmark {name}"))?);
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

fn measure(package: &str, target: &str) -> Result<Vec<Figure>> {
    let mut cargo = run::cargo();
    cargo.args(["bench", "--package", package, "--bench", target]).stderr(Stdio::inherit());
    let output = cargo.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (figures, other): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('{'));
    other.iter().for_each(|line| eprintln!("{line}"));
    if !output.status.success() {
        bail!("cargo bench failed: {}", output.status);
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
    format!(
        "{:<44} {:>16} {:<12} gate {gate:<14} {verdict}",
        figure.name,
        figure.value.to_string(),
        figure.unit
    )
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
