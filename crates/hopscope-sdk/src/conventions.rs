//! [`Conventions`]: which generation of OpenTelemetry's messaging names is written.

use crate::value::{Sink, Value};
use opentelemetry::trace::SpanKind;

/// Which names are written. The environment variable `OTEL_SEMCONV_STABILITY_OPT_IN` chooses with `messaging`
/// (current) and `messaging/dup` (both); our default is the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conventions {
    /// Those of 1.44.
    #[default]
    Current,
    /// Those of 1.44, and beside them the names of 1.24 where they differ: for dashboards that still look for these.
    Both,
    /// Those of 1.24, where they differ.
    Old,
}

impl Conventions {
    /// What `OTEL_SEMCONV_STABILITY_OPT_IN` says; `/dup` wins over the bare word, as the specification wants.
    pub(crate) fn of_environment(value: &str) -> Option<Self> {
        let mut words = value.split(',').map(str::trim);
        match (words.clone().any(|word| word == "messaging/dup"), words.any(|word| word == "messaging")) {
            (true, _) => Some(Self::Both),
            (false, true) => Some(Self::Current),
            (false, false) => None,
        }
    }

    /// The name of a span.
    pub(crate) fn span_name(self, operation: &str, operation_type: &str, destination: &str) -> String {
        match self {
            _ if destination.is_empty() => operation.to_owned(),
            Self::Current | Self::Both => format!("{operation} {destination}"),
            Self::Old => format!("{destination} {}", old_type(operation_type)),
        }
    }

    /// The kind of a span.
    pub(crate) fn kind(self, kind: SpanKind, operation_type: &str) -> SpanKind {
        if self == Self::Old && operation_type == "receive" { SpanKind::Consumer } else { kind }
    }

    /// A sink for current names that hands on what these conventions want.
    pub(crate) fn translate<'a>(self, system: &'static str, out: &'a mut dyn Sink) -> Translated<'a> {
        Translated { conventions: self, system, out }
    }
}

/// See [`Conventions::translate`].
pub(crate) struct Translated<'a> {
    conventions: Conventions,
    system: &'static str,
    out: &'a mut dyn Sink,
}

impl Sink for Translated<'_> {
    fn put(&mut self, key: &'static str, value: Value<'_>) {
        if self.conventions == Conventions::Current {
            return self.out.put(key, value);
        }
        let old = old(self.system, key, value);
        if self.conventions == Conventions::Both || old == Older::Same {
            self.out.put(key, value);
        }
        if let Older::Renamed(key, value) = old {
            self.out.put(key, value);
        }
    }
}

/// What an attribute of today was in 1.24.
#[derive(PartialEq)]
enum Older<'a> {
    Same,
    Absent,
    Renamed(&'static str, Value<'a>),
}

fn old<'a>(system: &str, key: &'static str, value: Value<'a>) -> Older<'a> {
    use Older::Renamed;
    match (key, value) {
        ("messaging.operation.name", _) => Older::Absent,
        ("messaging.operation.type", Value::Text(text)) => {
            Renamed("messaging.operation", Value::Text(old_type(text)))
        }
        ("messaging.destination.partition.id", Value::Text(text)) => match text.parse() {
            Ok(partition) => Renamed("messaging.kafka.destination.partition", Value::Int(partition)),
            Err(_) => Older::Same,
        },
        ("messaging.kafka.offset", _) => Renamed("messaging.kafka.message.offset", value),
        ("messaging.consumer.group.name", _) if system == hopscope_model::system::KAFKA => {
            Renamed("messaging.kafka.consumer.group", value)
        }
        ("messaging.consumer.group.name", _) if system == hopscope_model::system::ROCKETMQ => {
            Renamed("messaging.rocketmq.client_group", value)
        }
        ("messaging.client.id", _) => Renamed("messaging.client_id", value),
        _ => Older::Same,
    }
}

fn old_type(operation_type: &str) -> &str {
    if operation_type == "send" { "publish" } else { operation_type }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses() {
        for (value, chosen) in [
            ("", None),
            ("http", None),
            ("messaging", Some(Conventions::Current)),
            ("http/dup, messaging/dup", Some(Conventions::Both)),
            ("messaging,messaging/dup", Some(Conventions::Both)),
        ] {
            assert_eq!(Conventions::of_environment(value), chosen, "{value}");
        }
    }
}
