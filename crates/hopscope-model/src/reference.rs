//! The text form of a [`MessageRef`]: what stands in a URL, on the command line and in the search box.
//!
//! ```text
//! kafka:orders/0/15            system:destination/lane/position
//! kafka@cluster-1:orders/0/15  with its cluster
//! nats:SHIPMENTS//12           without lane
//! ctx:<32 hex>-<16 hex>        by creation context
//! id:rabbitmq:payments:abc     id:system:destination:id
//! ```
//!
//! Inside a part, `%`, `/`, `:`, `@`, blanks and control characters are percent-encoded.

use crate::{MessageRef, Position, SpanContext, SpanId, TraceId};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Why a text is no [`MessageRef`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefError {
    text: String,
}

impl fmt::Display for RefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a message reference text={:?}; hint: system:destination/lane/position, ctx:trace-span or \
             id:system:destination:id",
            self.text
        )
    }
}

impl std::error::Error for RefError {}

impl fmt::Display for MessageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(at) => {
                write!(f, "{}", System { name: &at.system, alone: at.cluster.is_empty() })?;
                if !at.cluster.is_empty() {
                    write!(f, "@{}", Part(&at.cluster))?;
                }
                write!(f, ":{}/{}/{}", Part(&at.destination), Part(&at.lane), at.position)
            }
            Self::Creation(context) => write!(f, "ctx:{context}"),
            Self::MessageId { system, destination, id } => {
                write!(f, "id:{}:{}:{}", Part(system), Part(destination), Part(id))
            }
        }
    }
}

impl FromStr for MessageRef {
    type Err = RefError;

    /// Reads what `Display` writes; a lane may keep its `/` and a message id its `:`, because people type
    /// them so.
    fn from_str(text: &str) -> Result<Self, RefError> {
        parse(text).ok_or_else(|| RefError { text: text.chars().take(200).collect() })
    }
}

impl From<Position> for MessageRef {
    fn from(position: Position) -> Self {
        Self::Position(position)
    }
}

fn parse(text: &str) -> Option<MessageRef> {
    let (head, rest) = text.split_once(':')?;
    match head {
        "ctx" => context_from_text(rest).map(MessageRef::Creation),
        "id" => {
            let mut parts = rest.splitn(3, ':').map(decode);
            let (system, destination, id) = (parts.next()??, parts.next()??, parts.next()??);
            (!id.is_empty()).then_some(MessageRef::MessageId { system, destination, id })
        }
        _ => {
            let (system, cluster) = head.split_once('@').unwrap_or((head, ""));
            let (destination, rest) = rest.split_once('/')?;
            let (lane, position) = rest.rsplit_once('/')?;
            let at = Position {
                system: decode(system)?,
                cluster: decode(cluster)?,
                destination: decode(destination)?,
                lane: decode(lane)?,
                position: whole_number(position)?,
            };
            (!at.destination.is_empty()).then_some(MessageRef::Position(at))
        }
    }
}

/// `trace-span`, 32 and 16 digits of either case.
pub(crate) fn context_from_text(text: &str) -> Option<SpanContext> {
    let (trace, span) = text.split_once('-')?;
    if trace.len() != 32 || span.len() != 16 {
        return None;
    }
    SpanContext::new(TraceId::from_hex(trace)?, SpanId::from_hex(span)?)
}

/// A number as `Display` writes it: no sign but `-`, no leading zeros.
pub(crate) fn whole_number(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Percent-decodes; `None` for a broken escape or bytes that are no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

struct Part<'a>(&'a str);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_special =
            |c: char| matches!(c, '%' | '/' | ':' | '@' | '"') || c.is_whitespace() || c.is_control();
        let mut utf8 = [0u8; 4];
        for character in self.0.chars() {
            if !is_special(character) {
                fmt::Write::write_char(f, character)?;
                continue;
            }
            for byte in character.encode_utf8(&mut utf8).bytes() {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// A system whose name is one of our own prefixes must not be read as that prefix.
struct System<'a> {
    name: &'a str,
    alone: bool,
}

impl fmt::Display for System<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped: Cow<'_, str> = match (self.name, self.alone) {
            ("ctx", true) => "%63tx".into(),
            ("id", true) => "%69d".into(),
            (name, _) => return Part(name).fmt(f),
        };
        f.write_str(&escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kafka(cluster: &str, destination: &str, lane: &str, position: i64) -> MessageRef {
        MessageRef::Position(Position {
            system: "kafka".into(),
            cluster: cluster.into(),
            destination: destination.into(),
            lane: lane.into(),
            position,
        })
    }

    #[test]
    fn written_as_people_know_it() {
        let id = |id: &str| MessageRef::MessageId {
            system: "rabbitmq".into(),
            destination: "payments".into(),
            id: id.into(),
        };
        let rows = [
            (kafka("", "orders", "0", 15), "kafka:orders/0/15"),
            (kafka("eu 1", "orders", "0", 15), "kafka@eu%201:orders/0/15"),
            (kafka("", "S", "", 12), "kafka:S//12"),
            (kafka("", "t", "broker-a/0", 3), "kafka:t/broker-a%2F0/3"),
            (kafka("", "订单", "0", -1), "kafka:订单/0/-1"),
            (id("abc"), "id:rabbitmq:payments:abc"),
            (id("a:b/c%"), "id:rabbitmq:payments:a%3Ab%2Fc%25"),
        ];
        for (reference, text) in rows {
            assert_eq!(reference.to_string(), text);
            assert_eq!(text.parse(), Ok(reference), "{text}");
        }
        assert_eq!("kafka:t/broker-a/0/3".parse(), Ok(kafka("", "t", "broker-a/0", 3)));
        assert_eq!("id:rabbitmq:payments:a:b".parse(), Ok(id("a:b")));
        for bad in [
            "",
            "kafka",
            "kafka:orders",
            "kafka:orders/0",
            "kafka:/0/1",
            "kafka:o/0/x",
            "kafka:o/0/+1",
            "kafka:o/0/007",
            "kafka:o%/0/1",
            "kafka:o%zz/0/1",
            "kafka:%ff/0/1",
            "ctx:1-2",
            "id:a:b",
            "id:a:b:",
            "ctx:00000000000000000000000000000000-00f067aa0ba902b7",
        ] {
            assert!(bad.parse::<MessageRef>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            texts in prop::collection::vec("(ctx|id|\\PC{0,6}|[%/:@ \\x00-\\x1f]{0,4})", 4),
            position in any::<i64>(), trace in 1u128.., span in 1u64.., kind in 0..3,
        ) {
            let [a, b, c, d] = &texts[..] else { unreachable!() };
            let reference = match kind {
                0 => MessageRef::Position(Position {
                    system: a.clone(), cluster: b.clone(), destination: format!("t{c}"), lane: d.clone(), position,
                }),
                1 => MessageRef::Creation(SpanContext {
                    trace: TraceId(trace.to_be_bytes()), span: SpanId(span.to_be_bytes()),
                }),
                _ => MessageRef::MessageId { system: a.clone(), destination: b.clone(), id: format!("{c}x{d}") },
            };
            prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        }

        #[test]
        fn reading_is_total(text in "\\PC{0,40}") {
            let _ = text.parse::<MessageRef>();
        }
    }
}
