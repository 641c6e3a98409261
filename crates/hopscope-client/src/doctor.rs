//! The JSON of `GET /api/v1/doctor`: what keeps an estate from being seen whole, who does it, and the next step.

use crate::api::{Coverage, Int64};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every code that a [`Finding`] may have. Stable; explained one by one in `docs/doctor.md`. Those that begin with
/// `endpoint_` and `clock_of_this_machine` are found by `hopscope doctor` itself, from where it runs.
pub const CODES: &[&str] = &[
    "endpoint_unresolved",
    "endpoint_unreachable",
    "endpoint_tls",
    "endpoint_wrong_protocol",
    "endpoint_wrong_path",
    "endpoint_auth",
    "endpoint_compression",
    "endpoint_busy",
    "endpoint_odd",
    "clock_of_this_machine",
    "nothing_received",
    "service_never_seen",
    "service_silent",
    "destination_never_seen",
    "propagation_broken",
    "context_broken",
    "sender_not_traced",
    "clock_skew",
    "spans_sampled_away",
    "spans_dropped",
    "spans_refused",
    "spans_missing",
    "never_ended",
    "received_not_processed",
    "stopped_with_work_open",
    "instance_missing",
    "instance_shared",
    "service_missing",
    "destination_missing",
    "destination_per_message",
    "group_missing",
    "position_missing",
    "receiver_disconnected",
    "server_busy",
    "requests_refused",
    "records_left_out",
];

/// `GET /api/v1/doctor?since=&service=&dest=`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DoctorAnswer {
    /// Begin of the range.
    pub from_ns: Int64,
    /// End of the range: now.
    pub to_ns: Int64,
    /// Findings, the gravest first; empty where all is well.
    pub findings: Vec<Finding>,
    /// What was looked at, whether something was found or not.
    pub checks: Vec<Check>,
    /// What was searched.
    pub coverage: Coverage,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Stable code: `propagation_broken`, `clock_skew`, `spans_dropped`, ...
    pub code: String,
    /// `error`: something is lost or wrong; `warning`: something is less than it could be; `info`: it is so on
    /// purpose, and good to know.
    pub severity: String,
    /// What, in one English sentence.
    pub text: String,
    /// The next step, in English.
    pub next: String,
    /// Service that it is about, or empty.
    pub service: String,
    /// Its instance, or empty.
    pub instance: String,
    /// The service at the other end (of a clock difference, of a message), or empty; several with `, ` between.
    pub other_service: String,
    /// System, or empty.
    pub system: String,
    /// Destination, or empty.
    pub destination: String,
    /// Group, or empty.
    pub group: String,
    /// The evidence in numbers and words.
    pub facts: Vec<Fact>,
    /// References of messages that show it: `hopscope msg show REFERENCE`.
    pub examples: Vec<String>,
    /// When it was first seen in the range.
    pub first_ns: Option<Int64>,
    /// When it was last seen.
    pub last_ns: Option<Int64>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fact {
    /// Stable name: `missing`, `skew`, `dropped`, ...
    pub name: String,
    /// Its value.
    pub value: String,
    /// How to read the value: `count`, `ns`, `bytes`, `per_mille`, `text`.
    pub unit: String,
}

/// One kind of question that was asked of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// `endpoint`, `data`, `propagation`, `clocks`, `sampling`, `export`, `endings`, `instances`, `attributes`, `server`.
    pub name: String,
    /// How many there were to look at.
    pub looked_at: Int64,
    /// Of what: `services`, `messages`, `pairs`, `spans`, `events`, `receivers`, `endpoints`.
    pub of: String,
    /// Findings that came of it.
    pub findings: Int64,
}

impl Finding {
    /// The value of that fact, or empty.
    pub fn fact(&self, name: &str) -> &str {
        self.facts.iter().find(|fact| fact.name == name).map_or("", |fact| &fact.value)
    }

    /// The same with one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString, unit: &str) -> Self {
        self.facts.push(Fact { name: name.to_owned(), value: value.to_string(), unit: unit.to_owned() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_explained() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
        let text = std::fs::read_to_string(file).expect("docs/doctor.md");
        let row = |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(code, _)| code.to_owned());
        let explained: BTreeSet<String> = text.lines().filter_map(row).collect();
        let codes: BTreeSet<String> = CODES.iter().map(|code| (*code).to_owned()).collect();
        assert_eq!(explained, codes, "one row of a table in docs/doctor.md for each code");
    }
}
