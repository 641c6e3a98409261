//! RabbitMQ's joined destination names: `exchange:key` of a producer, `exchange:key:queue` of a consumer, with
//! empty parts left out and the queue left out where it equals the key (OpenTelemetry since 1.30). Older
//! senders write the exchange alone, some the queue alone.

/// The default exchange, which has the empty name.
pub(crate) const DEFAULT_EXCHANGE: &[u8] = b"amq.default";

/// The parts; empty where they are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Parts<'a> {
    pub exchange: &'a [u8],
    pub key: &'a [u8],
    pub queue: &'a [u8],
}

/// Splits `name`. `key` is the routing key as far as an attribute told it: exchanges and keys may hold colons
/// themselves, and only a known key tells them apart.
pub(crate) fn split<'a>(name: &'a [u8], key: &'a [u8], consumer: bool) -> Parts<'a> {
    let parts = if key.is_empty() { split_blind(name, consumer) } else { split_at_key(name, key, consumer) };
    Parts { exchange: exchange(parts.exchange), ..parts }
}

/// The exchange's name, the default one by its alias.
pub(crate) fn exchange(name: &[u8]) -> &[u8] {
    match name {
        b"" | b"<default>" | b"(default)" => DEFAULT_EXCHANGE,
        other => other,
    }
}

/// Each part is an AMQP short string of at most 255 bytes. Longer names are nothing of RabbitMQ's, and looking
/// for the key in them could take long.
const NAME_BYTES_MAX: usize = 3 * 255 + 2;

fn split_at_key<'a>(name: &'a [u8], key: &'a [u8], consumer: bool) -> Parts<'a> {
    if name.len() > NAME_BYTES_MAX {
        return Parts { exchange: name, key, queue: b"" };
    }
    let Some((exchange, rest)) = around(name, key) else {
        return Parts { exchange: name, key, queue: b"" };
    };
    let queue = match (consumer, rest) {
        (false, _) => b"",
        (true, b"") => key,
        (true, queue) => queue,
    };
    Parts { exchange, key, queue }
}

/// What stands before and after the key, where the key is a whole part of the name.
fn around<'a>(name: &'a [u8], key: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let begins = (0..=name.len().checked_sub(key.len())?).filter(|&at| at == 0 || name[at - 1] == b':');
    let mut whole = begins.filter_map(|at| {
        let rest = name[at..].strip_prefix(key)?;
        let after = if rest.is_empty() { rest } else { rest.strip_prefix(b":")? };
        Some((&name[..at.saturating_sub(1)], after))
    });
    let first = whole.next()?;
    // `a:a:q` with key `a`: the first `a` is the exchange rather than the key of the default exchange.
    if first.0.is_empty() && !first.1.is_empty() { whole.next().or(Some(first)) } else { Some(first) }
}

fn split_blind(name: &[u8], consumer: bool) -> Parts<'_> {
    let colon = name.iter().position(|&byte| byte == b':');
    let (exchange, rest) = match colon {
        Some(at) => (&name[..at], &name[at + 1..]),
        None if consumer => return Parts { exchange: name, key: b"", queue: name },
        None => return Parts { exchange: name, key: b"", queue: b"" },
    };
    if !consumer {
        return Parts { exchange, key: rest, queue: b"" };
    }
    match rest.iter().rposition(|&byte| byte == b':') {
        Some(at) => Parts { exchange, key: &rest[..at], queue: &rest[at + 1..] },
        None => Parts { exchange, key: b"", queue: rest },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        // name, known key, consumer -> exchange, key, queue
        for (name, key, consumer, expected) in [
            ("logs:info", "info", false, ["logs", "info", ""]),
            ("logs:info:audit", "info", true, ["logs", "info", "audit"]),
            ("logs:info", "info", true, ["logs", "info", "info"]),
            ("info", "info", false, ["amq.default", "info", ""]),
            ("info", "info", true, ["amq.default", "info", "info"]),
            ("info:audit", "info", true, ["amq.default", "info", "audit"]),
            ("a:b:c:d", "b:c", true, ["a", "b:c", "d"]),
            ("a:a", "a", false, ["a", "a", ""]),
            ("a:a:q", "a", true, ["a", "a", "q"]),
            ("logs", "info", false, ["logs", "info", ""]),
            ("logs", "info", true, ["logs", "info", ""]),
            ("amq.default", "jobs", false, ["amq.default", "jobs", ""]),
            ("<default>", "jobs", false, ["amq.default", "jobs", ""]),
            ("", "jobs", false, ["amq.default", "jobs", ""]),
            ("fanout", "", false, ["fanout", "", ""]),
            ("fanout:audit", "", true, ["fanout", "", "audit"]),
            ("audit", "", true, ["audit", "", "audit"]),
            ("logs:info", "", false, ["logs", "info", ""]),
            ("logs:info:audit", "", true, ["logs", "info", "audit"]),
            ("information", "info", false, ["information", "info", ""]),
        ] {
            let parts = split(name.as_bytes(), key.as_bytes(), consumer);
            let got = [parts.exchange, parts.key, parts.queue]
                .map(|part| String::from_utf8_lossy(part).into_owned());
            assert_eq!(got, expected, "name={name} key={key} consumer={consumer}");
        }
    }
}
