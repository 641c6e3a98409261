//! The table of the SDK's front page: every row × every broker is *yes*, proved by named tests, or *the broker has no
//! such thing* with the reason. The data is `crates/hopscope-sdk/capabilities.toml`; `cargo xtask tidy` checks that each
//! named test exists and that the table is current, `cargo xtask tidy --write` rewrites it.

use crate::run;
use crate::source::File;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;

const DATA: &str = "crates/hopscope-sdk/capabilities.toml";
const PAGE: &str = "crates/hopscope-sdk/README.md";
const BEGIN: &str = "<!-- capabilities -->\n";
const END: &str = "<!-- /capabilities -->";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    kafka: Cell,
    rabbitmq: Cell,
    nats: Cell,
    rocketmq: Cell,
}

/// There is no third answer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Cell {
    /// Yes: `file::test` for each that proves it, as [`file_of`] has it.
    Proved(Vec<String>),
    None(Reason),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    none: String,
}

impl Row {
    /// Each cell, with the adapter whose tests it names.
    fn cells(&self) -> [(&'static str, &Cell); 4] {
        [
            ("hopscope-rdkafka", &self.kafka),
            ("hopscope-lapin", &self.rabbitmq),
            ("hopscope-async-nats", &self.nats),
            ("hopscope-rocketmq", &self.rocketmq),
        ]
    }
}

/// What is wrong with the table.
pub fn findings(files: &[File]) -> Vec<String> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let Some(data) = text(DATA) else { return vec![format!("{DATA} is missing")] };
    let capabilities: Capabilities = match toml::from_str(data) {
        Ok(capabilities) => capabilities,
        Err(error) => return vec![format!("{DATA}: {error}")],
    };
    let mut findings = unproved(&capabilities, text);
    match text(PAGE).and_then(|page| rewritten(page, &capabilities).map(|new| new == page)) {
        Some(true) => {}
        Some(false) => {
            findings.push(format!("{PAGE} is not current\n  hint: cargo xtask tidy --write"));
        }
        None => findings.push(format!("{PAGE} has no place for the table: {}", BEGIN.trim_end())),
    }
    findings
}

/// Writes the table anew.
pub fn write() -> Result<()> {
    let read = |path: &str| {
        fs::read_to_string(run::root().join(path)).with_context(|| format!("cannot read {path}"))
    };
    let capabilities = toml::from_str(&read(DATA)?).with_context(|| format!("cannot read {DATA}"))?;
    let page = rewritten(&read(PAGE)?, &capabilities).context("no place for the table")?;
    fs::write(run::root().join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))
}

fn unproved<'f>(capabilities: &Capabilities, text: impl Fn(&str) -> Option<&'f str>) -> Vec<String> {
    let mut findings = Vec::new();
    for row in capabilities.group.iter().flat_map(|group| &group.row) {
        for (adapter, cell) in row.cells() {
            let cell_name = format!("{DATA}: row={:?} of {adapter}", row.name);
            match cell {
                Cell::None(Reason { none }) if none.trim().is_empty() => {
                    findings.push(format!("{cell_name} gives no reason"));
                }
                Cell::None(_) => {}
                Cell::Proved(tests) if tests.is_empty() => {
                    findings.push(format!("{cell_name} names no test"));
                }
                Cell::Proved(tests) => findings.extend(
                    tests
                        .iter()
                        .filter(|test| !exists(adapter, test, &text))
                        .map(|test| format!("{cell_name}: no such test: {test}")),
                ),
            }
        }
    }
    findings
}

fn exists<'f>(adapter: &str, test: &str, text: &impl Fn(&str) -> Option<&'f str>) -> bool {
    let Some((file, function)) = test.split_once("::") else { return false };
    text(&file_of(adapter, file)).is_some_and(|text| has_test(text, function))
}

/// A bare name is a file of the adapter's tests against its real broker, any other a path from `crates/`, or from the root
/// for what lies in `examples/`.
fn file_of(adapter: &str, file: &str) -> String {
    match file.contains('/') {
        true if file.starts_with("examples/") => file.to_owned(),
        true => format!("crates/{file}"),
        false => format!("crates/{adapter}/tests/broker/{file}"),
    }
}

/// Whether a function of that name is marked as a test, and runs.
fn has_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(function))
            .is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().filter(|(_, line)| is_it(line)).any(|(at, _)| {
        let above =
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let attributes: Vec<_> = above.collect();
        let is_test = |line: &&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        attributes.iter().any(is_test) && !attributes.iter().any(|line| line.starts_with("#[ignore"))
    })
}

/// The page with the table of today; none where it has no place for it.
fn rewritten(page: &str, capabilities: &Capabilities) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some([before, BEGIN, &table(capabilities), END, after].concat())
}

fn table(capabilities: &Capabilities) -> String {
    let mut table = String::from("| | Kafka | RabbitMQ | NATS | RocketMQ |\n|---|---|---|---|---|\n");
    for group in &capabilities.group {
        let _ = writeln!(table, "| **{}** | | | | |", group.name);
        for row in &group.row {
            let cells = row.cells().map(|(_, cell)| match cell {
                Cell::Proved(_) => "yes".to_owned(),
                Cell::None(Reason { none }) => format!("no such thing: {none}"),
            });
            let _ = writeln!(table, "| {} | {} |", row.name, cells.join(" | "));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "#[tokio::test]\nasync fn sends() {\n}\n";

    fn capabilities(kafka: &str) -> Capabilities {
        let cell = r#"{ none = "no" }"#;
        let row = format!(
            "[[group]]\nname = \"Send\"\n[[group.row]]\nname = \"single\"\nkafka = {kafka}\n\
             rabbitmq = {cell}\nnats = {cell}\nrocketmq = {cell}\n"
        );
        toml::from_str(&row).expect("valid")
    }

    fn unproved_in(kafka: &str) -> usize {
        let text = |path: &str| match path {
            "crates/hopscope-rdkafka/tests/broker/send.rs" | "crates/hopscope-sdk/tests/a.rs" => Some(TEST),
            _ => None,
        };
        unproved(&capabilities(kafka), text).len()
    }

    #[test]
    fn a_cell_needs_a_test_that_exists_or_a_reason() {
        assert_eq!(unproved_in(r#"["send.rs::sends"]"#), 0);
        assert_eq!(unproved_in(r#"["hopscope-sdk/tests/a.rs::sends"]"#), 0);
        assert_eq!(unproved_in(r#"["send.rs::sends", "send.rs::sleeps"]"#), 1);
        assert_eq!(unproved_in(r#"["receive.rs::sends"]"#), 1);
        assert_eq!(unproved_in(r#"["sends"]"#), 1);
        assert_eq!(unproved_in("[]"), 1);
        assert_eq!(unproved_in(r#"{ none = " " }"#), 1);
    }

    #[test]
    fn what_is_no_test_proves_nothing() {
        assert!(has_test("#[test]\n/// Why.\nfn sends() {", "sends"));
        assert!(!has_test(TEST, "send"));
        assert!(!has_test("async fn sends() {", "sends"));
        assert!(!has_test("#[test]\n#[ignore = \"slow\"]\nfn sends() {", "sends"));
        assert!(!has_test("#[test]\nfn other() {}\nfn sends() {", "sends"));
    }

    #[test]
    fn a_table_that_is_not_current_is_rewritten() {
        let page = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let new = rewritten(&page, &capabilities(r#"["send.rs::sends"]"#)).expect("a place");
        assert!(new.starts_with("before\n<!-- ") && new.ends_with("-->\nafter\n"), "{new}");
        assert!(new.contains("| single | yes | no such thing: no |"), "{new}");
        assert_eq!(rewritten("no place", &capabilities("[]")), None);
    }
}
