//! Rates: a line for each destination and group.

use super::{Ink, short_duration, table::plain_table};
use hopscope_client::api::{Bound, Flow, RatesAnswer};

/// The rates, and what they rest on.
pub fn rates(answer: &RatesAnswer, ink: Ink) -> String {
    let mut text = String::new();
    if !answer.rates.is_empty() {
        let mut table = plain_table(&[
            "SYSTEM",
            "DESTINATION",
            "GROUP",
            "SENT/S",
            "CONSUMED/S",
            "FAILED",
            "PROCESS P50 P99",
        ]);
        for rate in &answer.rates {
            let process = rate
                .process
                .as_ref()
                .map(|process| format!("{} {}", bound(&process.p50), bound(&process.p99)));
            table.add_row([
                rate.system.clone(),
                rate.destination.clone(),
                rate.group.clone(),
                flow(&rate.sent),
                flow(&rate.consumed),
                rate.consumed.failed.0.to_string(),
                process.unwrap_or_default(),
            ]);
        }
        text += &format!("{}\n", table.trim_fmt());
    }
    let range = short_duration(answer.to_ns.0 - answer.from_ns.0);
    let complete = if answer.coverage.complete {
        "complete".to_owned()
    } else {
        format!("NOT complete: {}", answer.coverage.why_not.join("; "))
    };
    text += &ink.dim(&format!("the last {range}; ≥: counted from spans, which may be sampled · {complete}"));
    text.push('\n');
    if !answer.without_instance.is_empty() {
        let services = answer.without_instance.join(", ");
        text += &format!("hint: set service.instance.id, counts may fall short without it: {services}\n");
    }
    text
}

fn flow(flow: &Flow) -> String {
    match flow.source.as_str() {
        "none" => "-".to_owned(),
        "exact" => format!("{:.2}", flow.per_second),
        _ => format!("≥ {:.2}", flow.per_second),
    }
}

fn bound(bound: &Bound) -> String {
    format!("{}{}", if bound.more { ">" } else { "≤" }, short_duration(bound.ns.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hopscope_client::api::{Coverage, Durations, Int64, Rate};

    #[test]
    fn what_is_exact_and_what_is_not() {
        let flow = |source: &str, total| Flow {
            source: source.to_owned(),
            total: Int64(total),
            failed: Int64(2),
            per_second: total as f64 / 60.0,
            steps: Vec::new(),
        };
        let process = Durations {
            count: Int64(600),
            mean_ns: None,
            p50: Bound { ns: Int64(5_000_000), more: false },
            p99: Bound { ns: Int64(10_000_000_000), more: true },
        };
        let answer = RatesAnswer {
            from_ns: Int64(0),
            to_ns: Int64(60_000_000_000),
            step_ns: Int64(10_000_000_000),
            rates: vec![Rate {
                system: "kafka".into(),
                cluster: String::new(),
                destination: "orders".into(),
                group: "payment".into(),
                sent: flow("sampled", 90),
                consumed: flow("exact", 600),
                process: Some(process),
                queue: None,
            }],
            without_instance: vec!["shop".into()],
            coverage: Coverage {
                segments: 1,
                from_ns: None,
                to_ns: None,
                complete: true,
                why_not: Vec::new(),
            },
        };
        let text = rates(&answer, Ink::of_stdout());
        for part in ["≥ 1.50", "10.00", "≤5.0 ms >10.00 s", "1 m 0 s", "hint: set service.instance.id"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
