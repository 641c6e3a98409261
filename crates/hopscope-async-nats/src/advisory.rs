//! What the server itself gave up, as its advisories tell.
//!
//! A stream of `$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>` and `$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>` is
//! JetStream's own dead-letter queue: its messages are no copies, each names one that lies where it lay.

use hopscope_sdk::CopyKind;
use hopscope_sdk::dead_letter::Original;
use serde::Deserialize;

const PREFIX: &str = "$JS.EVENT.ADVISORY.CONSUMER.";
const MAX_DELIVERIES: &str = "MAX_DELIVERIES.";
const MSG_TERMINATED: &str = "MSG_TERMINATED.";

/// What of it is asked for.
#[derive(Deserialize)]
struct Advisory {
    stream: String,
    consumer: String,
    stream_seq: i64,
    deliveries: u32,
    /// Given with a `+TERM`.
    #[serde(default)]
    reason: String,
}

/// The message that such an advisory is about; none where it is something else, or cannot be read.
pub(crate) fn original(subject: &str, payload: &[u8]) -> Option<Original> {
    let kind = subject.strip_prefix(PREFIX)?;
    let reason = match (kind.starts_with(MAX_DELIVERIES), kind.starts_with(MSG_TERMINATED)) {
        (true, _) => "max_deliver reached",
        (_, true) => "terminated",
        _ => return None,
    };
    let advisory: Advisory = serde_json::from_slice(payload).ok()?;
    Some(Original {
        destination: advisory.stream,
        position: Some(advisory.stream_seq),
        group: advisory.consumer,
        attempts: Some(advisory.deliveries),
        reason: if advisory.reason.is_empty() { reason.to_owned() } else { advisory.reason },
        ..Original::new(CopyKind::DeadLetter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_events_and_rubbish_are_no_dead_letters() {
        let json = br#"{"type":"x","stream":"S","consumer":"c","stream_seq":7,"deliveries":3}"#;
        let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c";
        let read = original(subject, json).expect("an advisory");
        assert_eq!((read.destination.as_str(), read.position, read.attempts), ("S", Some(7), Some(3)));
        assert!(original("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.c", json).is_none());
        assert!(original("orders", json).is_none());
        assert!(original(subject, b"{\"stream\":1}").is_none());
        assert!(original(subject, b"\xff").is_none());
    }
}
