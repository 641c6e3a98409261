//! The table of a README that says what is recorded, made from what was.

use opentelemetry_sdk::trace::SpanData;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- recorded -->\n";
const END: &str = "<!-- /recorded -->";

/// A table of spans and their attributes: operation, kind, and what is on them, on links included. `noun` stands for the
/// name of a destination (`topic`); `sometimes` are attributes that are there or not by luck of time, and the sentence
/// `about_them` says so.
pub fn recorded(spans: &[SpanData], noun: &str, sometimes: &[&str], about_them: &str) -> String {
    let mut rows: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for span in spans {
        let operation = span.name.split(' ').next().unwrap_or_default();
        let kind = format!("{:?}", span.span_kind).to_lowercase();
        let of_links = span.links.iter().flat_map(|link| &link.attributes);
        let keys = span.attributes.iter().chain(of_links).map(|set| set.key.as_str());
        let row = rows.entry(format!("`{operation} {{{noun}}}` | {kind}")).or_default();
        row.extend(keys.filter(|key| !sometimes.contains(key)));
    }
    let mut each = rows.values().cloned();
    let first = each.next().unwrap_or_default();
    let on_all: BTreeSet<&str> = each.fold(first, |all, of| all.intersection(&of).copied().collect());
    let list = |keys: &mut dyn Iterator<Item = &&str>| {
        keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "On every span: {}{about_them}.\n\n| Span | Kind | And |\n|---|---|---|\n",
        list(&mut on_all.iter())
    );
    for (row, keys) in &rows {
        let _ = writeln!(text, "| {row} | {} |", list(&mut keys.difference(&on_all)));
    }
    text
}

/// Compares what stands in a README between `<!-- recorded -->` and `<!-- /recorded -->`; `UPDATE_EXPECT=1` rewrites it.
///
/// # Panics
/// Where they differ, or there is no such place: for use in tests.
pub fn readme_is_current(readme: &Path, recorded: &str) {
    let text = std::fs::read_to_string(readme).expect("a README");
    let (before, rest) = text.split_once(BEGIN).expect("a mark where it begins");
    let (written, after) = rest.split_once(END).expect("a mark where it ends");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(readme, [before, BEGIN, recorded, END, after].concat()).expect("a file to write");
    } else {
        assert_eq!(written, recorded, "UPDATE_EXPECT=1 rewrites the table");
    }
}
