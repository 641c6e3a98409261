//! Destinations that go by another name in a table of rates: those that differ in an order number, and those that live as
//! long as one reply. One line each would be a line for every message.

/// Beginnings of names that a broker makes up for one client, and what all of them are called.
const TEMPORARY: [(&str, &str, &str); 4] = [
    ("nats", "_INBOX.", "_INBOX.>"),
    ("rabbitmq", "amq.gen-", "amq.gen-*"),
    ("rabbitmq", "amq.rabbitmq.reply-to.", "amq.rabbitmq.reply-to.*"),
    ("rocketmq", "rmq_sys_REPLY_", "rmq_sys_REPLY_*"),
];

/// The name of its kind, where it is a temporary one.
pub(super) fn of_temporary<'d>(system: &str, destination: &'d str) -> &'d str {
    let is_one = |(of, begin, _): &&(&str, &str, &str)| *of == system && destination.starts_with(begin);
    TEMPORARY.iter().find(is_one).map_or(destination, |(.., all)| all)
}

/// True of `orders.{id}`, `orders.*.created` and `orders.>`.
pub(super) fn is_template(destination: &str) -> bool {
    destination.contains(['{', '*', '>'])
}

/// Whether a destination of that name is one of those that the template stands for. `{id}` and `*` stand for one part of
/// a name, between dots or slashes; `>` for all that comes.
pub(super) fn covers(template: &str, name: &str) -> bool {
    let Some(at) = template.find(['{', '*', '>']) else { return template == name };
    let (begin, pattern) = template.split_at(at);
    let Some(rest) = name.strip_prefix(begin) else { return false };
    if pattern.starts_with('>') {
        return !rest.is_empty();
    }
    let after = match pattern.strip_prefix('*') {
        Some(after) => after,
        None => pattern.split_once('}').map_or("", |(_, after)| after),
    };
    let part = rest.find(['.', '/']).unwrap_or(rest.len());
    // A part may go on after what varies, as in `order-{id}-created`: any end of it is tried.
    (1..=part).filter(|end| rest.is_char_boundary(*end)).any(|end| covers(after, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_covers_what_it_stands_for() {
        for (template, name, is_covered) in [
            ("orders.{id}", "orders.4711", true),
            ("orders.{id}", "orders.4711.created", false),
            ("orders.{id}", "orders.", false),
            ("orders.*.created", "orders.4711.created", true),
            ("orders.*.created", "orders.a.b.created", false),
            ("/customers/{id}/orders", "/customers/7/orders", true),
            ("order-{id}-created", "order-4-7-created", true),
            ("orders.>", "orders.4711.created", true),
            ("orders.>", "payments.4711", false),
            ("{shop}.{id}", "berlin.7", true),
            ("orders", "orders", true),
            ("orders.{id", "orders.7", true),
        ] {
            assert_eq!(covers(template, name), is_covered, "{template} {name}");
        }
    }

    #[test]
    fn a_temporary_destination_goes_by_its_kind() {
        assert_eq!(of_temporary("nats", "_INBOX.x7.1"), "_INBOX.>");
        assert_eq!(of_temporary("kafka", "_INBOX.x7.1"), "_INBOX.x7.1");
        assert_eq!(of_temporary("rabbitmq", "amq.gen-Xa"), "amq.gen-*");
        assert_eq!(of_temporary("rabbitmq", "payments"), "payments");
    }
}
