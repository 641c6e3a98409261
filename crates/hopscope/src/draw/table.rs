//! Lists: messages found, settings.

use super::{Ink, clock, message::state};
use comfy_table::{ContentArrangement, Table, presets};
use hopscope_client::api::{Coverage, FindAnswer, MessageSummary};

/// The messages found, and what was searched for them.
pub fn found(answer: &FindAnswer, ink: Ink) -> String {
    let mut text = String::new();
    if !answer.messages.is_empty() {
        let mut table = plain_table(&["SENT", "MESSAGE", "KEY", "SENDER", "STATE"]);
        for message in &answer.messages {
            table.add_row([
                clock(message.sent_ns.0),
                message.reference.clone(),
                message.keys.join(" "),
                message.sender.clone(),
                states(message, ink),
            ]);
        }
        text += &format!("{}\n", table.trim_fmt());
    }
    text += &ink.dim(&searched(answer.messages.len(), &answer.coverage, answer.next.is_some()));
    text.push('\n');
    text
}

fn states(message: &MessageSummary, ink: Ink) -> String {
    let each = message.groups.iter().map(|group| {
        let name = if group.group.is_empty() { "(no group)" } else { &group.group };
        format!("{name}: {}", state(&group.state, &group.grade, ink))
    });
    each.collect::<Vec<_>>().join("\n")
}

/// One line: how many, what was searched, and why it may not be all. Never a silent empty.
fn searched(messages: usize, coverage: &Coverage, more: bool) -> String {
    let count = match (messages, more) {
        (0, _) => "no message".to_owned(),
        (1, false) => "1 message".to_owned(),
        (n, false) => format!("{n} messages"),
        (n, true) => format!("first {n} messages, there are more (--limit)"),
    };
    let range = match (coverage.from_ns, coverage.to_ns) {
        (Some(from), Some(to)) => format!("received {} to {}", clock(from.0), clock(to.0)),
        _ => "the store is empty".to_owned(),
    };
    let complete = if coverage.complete {
        "complete".to_owned()
    } else {
        format!("NOT complete: {}", coverage.why_not.join("; "))
    };
    format!("{count} · searched {} segments, {range} UTC, {complete}", coverage.segments)
}

/// Settings: name, value, where it came from.
pub fn settings(rows: &[[String; 3]]) -> String {
    table(&["SETTING", "VALUE", "FROM"], rows)
}

/// Rows under a header.
pub fn table<const N: usize>(header: &[&str; N], rows: &[[String; N]]) -> String {
    let mut table = plain_table(header);
    for row in rows {
        table.add_row(row);
    }
    format!("{}\n", table.trim_fmt())
}

pub(super) fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
