//! The words that several findings share.

use hopscope_model::system;

/// The service, also where it has no name.
pub(super) fn who(service: &str) -> &str {
    if service.is_empty() { "a service without name" } else { service }
}

/// ` as group payment`, or nothing.
pub(super) fn as_group(group: &str) -> String {
    if group.is_empty() { String::new() } else { format!(" as group {group}") }
}

/// `1 message`, `2 messages`.
pub(super) fn number(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `98.7 %`.
pub(super) fn percent(per_mille: u64) -> String {
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

/// About how long, for a sentence.
pub(super) fn duration(ns: i64) -> String {
    let ms = ns.unsigned_abs() / 1_000_000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// What takes headers away between a producer and a consumer of that system, in its own words.
pub(super) fn who_strips(system: &str) -> &'static str {
    match system {
        system::KAFKA => {
            "a MirrorMaker or Connect job without header support, a Streams step that makes new records, an old message \
             format (before 0.11)"
        }
        system::RABBITMQ => {
            "a shovel, federation or plugin that makes a new message, a consumer that publishes on without the headers table"
        }
        system::NATS => {
            "a client that publishes on without the headers, a republish with headers left out, a bridge"
        }
        system::ROCKETMQ => "a connector or a consumer that sends on without the user properties",
        _ => "a bridge or a consumer that sends on without the headers",
    }
}
