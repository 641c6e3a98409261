//! Second step of ingest: what must not be kept is dropped before anything is stored, and its bytes are
//! wiped from the batch, so that it is in no log and no segment.

use hopscope_model::{Batch, Cell, TextColumn};
use regex::RegexSet;
use std::collections::BTreeSet;

/// Size of a compiled pattern set: a bound on what a configuration can cost.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Attributes that decoding lifts into columns: who redacts the attribute means the column too.
const LIFTED: &[(&str, TextColumn<'static>)] = &[
    ("hopscope.keys", TextColumn::Keys),
    ("messaging.kafka.message.key", TextColumn::Keys),
    ("messaging.rocketmq.message.keys", TextColumn::Keys),
    ("messaging.message.conversation_id", TextColumn::CorrelationId),
    ("messaging.client.id", TextColumn::Client),
    ("exception.message", TextColumn::Reason),
    ("error.type", TextColumn::Reason),
];

/// Columns in which a person's data may stand.
const FREE: &[TextColumn<'static>] = &[
    TextColumn::Keys,
    TextColumn::MessageId,
    TextColumn::CorrelationId,
    TextColumn::Reason,
    TextColumn::Operation,
    TextColumn::Client,
];

/// What to drop.
#[derive(Debug)]
pub struct Redaction {
    names: BTreeSet<String>,
    prefixes: Vec<String>,
    values: RegexSet,
}

/// Compiles value patterns.
pub fn compile(patterns: &[String]) -> Result<RegexSet, regex::Error> {
    regex::RegexSetBuilder::new(patterns).size_limit(COMPILED_BYTES_MAX).build()
}

impl Redaction {
    /// Attributes by name (`*` at the end: a prefix) and values by regular expression.
    pub fn new(keys: &[String], patterns: &[String]) -> Result<Self, regex::Error> {
        let (prefixes, names): (Vec<&String>, Vec<&String>) = keys.iter().partition(|key| key.ends_with('*'));
        Ok(Self {
            names: names.into_iter().cloned().collect(),
            prefixes: prefixes.into_iter().map(|prefix| prefix.trim_end_matches('*').to_owned()).collect(),
            values: compile(patterns)?,
        })
    }

    /// Drops it from the batch.
    pub fn apply(&self, batch: &mut Batch) {
        if self.names.is_empty() && self.prefixes.is_empty() && self.values.is_empty() {
            return;
        }
        let mut changed = batch.retain_attributes(|name, cell, texts| {
            let value = match cell {
                Cell::Text(text) | Cell::Bytes(text) | Cell::Json(text) => texts.get(text),
                Cell::Int(_) | Cell::Double(_) | Cell::Bool(_) => "",
            };
            !self.has_name(name) && !self.values.is_match(value)
        });
        for (_, column) in LIFTED.iter().filter(|(name, _)| self.has_name(name)) {
            batch.map_strings(*column, |_| {
                changed = true;
                // Removed, not replaced: two ids that read "redacted" would join two messages.
                Some(String::new())
            });
        }
        for column in FREE.iter().filter(|_| !self.values.is_empty()) {
            batch.map_strings(*column, |value| {
                let hit = self.values.is_match(value);
                changed |= hit;
                hit.then(String::new)
            });
        }
        if changed {
            batch.forget_unused();
        }
    }

    fn has_name(&self, name: &str) -> bool {
        self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hopscope_model::{BatchBuilder, MessageEvent, Outcome, Source, Stage, Tenant, Value};

    fn redacted(keys: &[&str], values: &[&str]) -> (MessageEvent, String) {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 1);
        builder.push_event(&MessageEvent {
            message_id: "m-1".into(),
            keys: vec!["order-4711".into(), "4111111111111111".into()],
            outcome: Outcome::Failed { reason: "card 4111111111111111 refused".into() },
            attributes: vec![
                ("http.request.header.authorization".into(), text("Bearer secret")),
                ("http.request.header.cookie".into(), Value::Json("[\"secret\"]".into())),
                ("card".into(), text("4111111111111111")),
                ("user.id".into(), Value::Int(7)),
                ("kept".into(), text("yes")),
            ],
            ..MessageEvent::new(Stage::Send)
        });
        let mut batch = builder.finish();
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        Redaction::new(&owned(keys), &owned(values)).expect("patterns").apply(&mut batch);
        (batch.event(0).to_owned(), format!("{batch:?}"))
    }

    fn names(event: &MessageEvent) -> Vec<&str> {
        event.attributes.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn names_and_prefixes() {
        let (event, bytes) = redacted(&["http.request.header.*", "user.id", "hopscope.keys"], &[]);
        assert_eq!(names(&event), ["card", "kept"]);
        assert!(event.keys.iter().all(String::is_empty), "{:?}", event.keys);
        assert!(!bytes.contains("secret") && !bytes.contains("4711"), "{bytes}");
    }

    #[test]
    fn values_wherever_they_stand() {
        let (event, bytes) = redacted(&[], &[r"\b\d{16}\b"]);
        assert_eq!(names(&event).len(), 4);
        assert_eq!(event.keys.first().map(String::as_str), Some("order-4711"));
        assert_eq!(event.outcome, Outcome::Failed { reason: String::new() });
        assert_eq!(event.message_id, "m-1");
        assert!(!bytes.contains("4111111111111111"), "{bytes}");
    }

    #[test]
    fn nothing_configured_changes_nothing() {
        let (event, _) = redacted(&[], &[]);
        assert_eq!(names(&event).len(), 5);
    }
}
