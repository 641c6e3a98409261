//! What `doctor` found: a paragraph for each finding, and a line for each thing that is well.

use super::{Ink, clock, short_duration};
use crate::doctor::Report;
use hopscope_client::api::{Check, Fact, Finding};

/// The findings, the gravest first; what is well; what was looked at.
pub fn doctor(report: &Report, ink: Ink) -> String {
    let mut text = String::new();
    for finding in &report.answer.findings {
        text += &self::finding(finding, ink);
    }
    for tried in report.endpoints.iter().filter(|tried| tried.finding.is_none()) {
        let steps = tried.steps.join(", ");
        text += &format!("{}  {} ({}): {steps}\n", ink.good("well"), tried.url, tried.protocol);
    }
    for check in &report.answer.checks {
        text += &well(check, ink);
    }
    text + &format!("{}\n", ink.dim(&looked_at(report)))
}

fn finding(finding: &Finding, ink: Ink) -> String {
    let severity = match finding.severity.as_str() {
        "error" => ink.bad("error"),
        "warning" => ink.queue("warning"),
        other => ink.dim(other),
    };
    let mut text = format!("{severity}  {}  {}\n", ink.name(&finding.code), finding.text);
    let mut line = |label: &str, value: String| text += &format!("    {} {value}\n", ink.dim(label));
    let seen = finding.first_ns.zip(finding.last_ns);
    if !finding.instance.is_empty() {
        line("instance", finding.instance.clone());
    }
    if !finding.facts.is_empty() {
        line("evidence", finding.facts.iter().map(fact).collect::<Vec<_>>().join(" · "));
    }
    if let Some((first, last)) = seen {
        line("seen    ", format!("{} to {} UTC", clock(first.0), clock(last.0)));
    }
    for example in &finding.examples {
        line("example ", format!("hopscope msg show '{example}'"));
    }
    line("hint:   ", finding.next.clone());
    text.push('\n');
    text
}

fn fact(fact: &Fact) -> String {
    let value = match (fact.unit.as_str(), fact.value.parse()) {
        ("ns", Ok(ns)) => short_duration(ns),
        ("bytes", _) => format!("{} B", fact.value),
        _ => fact.value.clone(),
    };
    format!("{} {value}", fact.name.replace('_', " "))
}

fn well(check: &Check, ink: Ink) -> String {
    if check.findings.0 > 0 || check.name == "endpoint" {
        return String::new();
    }
    match check.looked_at.0 {
        0 => format!("{}  {}: no {} to look at\n", ink.dim("none"), check.name, check.of),
        looked_at => format!("{}  {}: {looked_at} {}\n", ink.good("well"), check.name, check.of),
    }
}

fn looked_at(report: &Report) -> String {
    let answer = &report.answer;
    if let Some(error) = &report.server_error {
        let why = error.lines().next().unwrap_or_default();
        return format!("the data was not looked at: {why}");
    }
    let range = short_duration(answer.to_ns.0 - answer.from_ns.0);
    let all = match (answer.coverage.complete, answer.coverage.why_not.is_empty()) {
        (true, true) => "all of it".to_owned(),
        (true, false) => answer.coverage.why_not.join("; "),
        (false, _) => format!("NOT complete: {}", answer.coverage.why_not.join("; ")),
    };
    let found = match answer.findings.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 finding".to_owned(),
        findings => format!("{findings} findings"),
    };
    format!("{found} · the last {range} was looked at · {all}")
}
