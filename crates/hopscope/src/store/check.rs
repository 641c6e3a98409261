//! `hopscope store check`, or `hopscope check`: is what is stored sound?

use super::args::CheckArgs;
use super::{Reading, failure, folder_of};
use crate::draw::clock;
use crate::exit::Exit;
use crate::output;
use hopscope_store::{CheckReport, Depth, Finding, Store};
use indicatif::ProgressBar;
use serde_json::json;
use std::time::Duration;

pub async fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let data = folder_of(&args.folder)?;
    let waiting = waiting(args.deep);
    let reading = tokio::task::spawn_blocking(move || Reading::open(&data)).await??;
    let depth = if args.deep { Depth::Full } else { Depth::Quick };
    let report = reading.store.check(depth).await.map_err(failure)?;
    waiting.finish_and_clear();
    if args.json {
        output::json(&as_json(&report))?;
    } else {
        output::print(&as_text(&report, args.deep));
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Damaged })
}

/// A sign of life on a terminal; nothing elsewhere.
fn waiting(deep: bool) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(if deep {
        "reading every block and log record"
    } else {
        "reading the manifest and footers"
    });
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn as_text(report: &CheckReport, deep: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &format!("damaged  {}  {}{}\n", finding.file, finding.what, missing(finding));
    }
    let depth = if deep {
        "every block and log record read"
    } else {
        "manifest, files and footers read; --deep reads all"
    };
    let sound = if report.findings.is_empty() { "sound" } else { "NOT sound" };
    text + &format!(
        "{sound}: {} files, {} bytes, {} events ({depth})\n",
        report.files, report.bytes, report.events
    )
}

fn missing(finding: &Finding) -> String {
    let range =
        finding.received_ns.map(|(from, to)| format!("received {} to {} UTC", clock(from), clock(to)));
    let events = finding.events.map(|events| format!("{events} events"));
    let parts: Vec<String> = events.into_iter().chain(range).collect();
    if parts.is_empty() { String::new() } else { format!("  (may be missing: {})", parts.join(", ")) }
}

fn as_json(report: &CheckReport) -> serde_json::Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "file": finding.file,
            "what": finding.what,
            "received_from_ns": finding.received_ns.map(|(from, _)| from.to_string()),
            "received_to_ns": finding.received_ns.map(|(_, to)| to.to_string()),
            "events": finding.events.map(|events| events.to_string()),
        })
    });
    json!({
        "sound": report.findings.is_empty(),
        "files": report.files.to_string(),
        "bytes": report.bytes.to_string(),
        "events": report.events.to_string(),
        "findings": findings.collect::<Vec<_>>(),
    })
}
