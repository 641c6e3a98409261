//! `hopscope doctor`: "I see no traces", "spans are missing": why? The server is asked what the data shows; the endpoint
//! is tried from here, because only here it can be known what this machine reaches.

mod endpoint;
mod probe;
mod speech;

use crate::args::DoctorArgs;
use crate::draw::{self, Ink};
use crate::exit::{self, Exit};
use crate::output;
use crate::remote;
use hopscope_client::Client;
use hopscope_client::api::{Check, DoctorAnswer, Finding, Int64};
use hopscope_server::now_ns;
use serde::Serialize;

/// Clocks that are set by NTP differ by less, and the way of the answer is part of it.
const CLOCK_NS_MAX: i64 = 1_000_000_000;

/// All that was found. As JSON: the server's answer, with what was tried from here added to it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the server says, with the findings of this machine before its own; of an empty range where it did not
    /// answer.
    #[serde(flatten)]
    pub answer: DoctorAnswer,
    /// Endpoints that were tried, and how each answered.
    pub endpoints: Vec<probe::Tried>,
    /// Why the server could not be asked.
    pub server_error: Option<String>,
}

pub async fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let client = remote::client(&args.server.server)?;
    // The server first: what is tried afterwards must not show in its books.
    let asked = client.doctor(Some(&args.since), &args.service, &args.destination).await;
    let (answer, error) = match asked {
        Ok(answer) => (answer, None),
        Err(error) => (nothing(), Some(remote::failure(error))),
    };
    let targets = endpoint::targets(args, &client, error.is_none()).await?;
    let mut report =
        Report { answer, endpoints: Vec::new(), server_error: error.as_ref().map(ToString::to_string) };
    let mut found: Vec<Finding> = Vec::new();
    for target in &targets {
        let tried = probe::probe(target).await;
        found.extend(tried.finding.clone());
        report.endpoints.push(tried);
    }
    found.extend(clock(&client).await);
    let check = |name: &str, of: &str, looked_at: usize| Check {
        name: name.to_owned(),
        looked_at: Int64(looked_at as i64),
        of: of.to_owned(),
        findings: Int64(found.len() as i64),
    };
    report.answer.checks.insert(0, check("endpoint", "endpoints", targets.len()));
    found.append(&mut report.answer.findings);
    report.answer.findings = found;
    if args.json {
        output::json(&report)?;
    } else {
        output::print(&draw::doctor(&report, Ink::of_stdout()));
    }
    Ok(ended(&report, error.as_ref()))
}

fn ended(report: &Report, error: Option<&anyhow::Error>) -> Exit {
    let grave = report.answer.findings.iter().any(|finding| finding.severity != "info");
    match error {
        Some(error) => exit::report(error),
        None if grave => Exit::Damaged,
        None if !report.answer.coverage.complete => Exit::Partial,
        None => Exit::Done,
    }
}

fn nothing() -> DoctorAnswer {
    let now = Int64(now_ns());
    let coverage = hopscope_client::api::Coverage {
        segments: 0,
        from_ns: None,
        to_ns: None,
        complete: false,
        why_not: vec!["the server was not asked".to_owned()],
    };
    DoctorAnswer { from_ns: now, to_ns: now, findings: Vec::new(), checks: Vec::new(), coverage }
}

/// The clock of this machine against the server's, half the way there and back in between.
async fn clock(client: &Client) -> Option<Finding> {
    let before_ns = now_ns();
    let status = client.status().await.ok()?;
    let after_ns = now_ns();
    let here_ns = before_ns + (after_ns - before_ns) / 2;
    let differs_ns = here_ns - status.now_ns.0;
    let way_ns = after_ns - before_ns;
    (differs_ns.abs() > CLOCK_NS_MAX + way_ns).then(|| clock_finding(differs_ns, client.base()))
}

/// That this machine is so much ahead (or, below zero, behind) of another one.
fn clock_finding(differs_ns: i64, other: &str) -> Finding {
    let way = if differs_ns > 0 { "ahead of" } else { "behind" };
    let size = draw::short_duration(differs_ns.abs());
    Finding {
        code: "clock_of_this_machine".to_owned(),
        severity: "warning".to_owned(),
        text: format!("the clock of this machine is {size} {way} that of {other}"),
        next: "let both keep their time by NTP (chronyc tracking, timedatectl): times of spans are by the clock of who \
               made them"
            .to_owned(),
        ..Finding::default()
    }
    .with("skew", differs_ns.abs(), "ns")
    .with("way", way, "text")
    .with("other", other, "text")
}
