//! The order of answers, and the cursors that name a place in it.

use crate::{Error, ErrorKind};
use hopscope_model::{EventId, MessageEvent};

/// Place of an event in every order: `(start_ns, id)`.
pub(crate) type Place = (i64, EventId);

/// The cursor that names this place: `start_ns:id`.
pub(crate) fn cursor(place: Place) -> String {
    format!("{}:{}", place.0, place.1)
}

/// The place that a cursor names.
pub(crate) fn place(cursor: &str) -> Result<Place, Error> {
    let parsed = cursor
        .split_once(':')
        .and_then(|(start, id)| Some((start.parse().ok()?, EventId(u128::from_str_radix(id, 16).ok()?))));
    parsed.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("not a cursor of this store cursor={cursor:?}"))
    })
}

/// About how many bytes of memory an owned event takes: what `Limits::bytes_max` counts.
pub(crate) fn event_bytes(event: &MessageEvent) -> usize {
    let attributes: usize = event.attributes.iter().map(|(key, value)| key.len() + value_bytes(value)).sum();
    let texts = [
        &event.operation,
        &event.system,
        &event.cluster,
        &event.server,
        &event.destination,
        &event.address,
        &event.lane,
        &event.message_id,
        &event.correlation_id,
        &event.group,
        &event.client,
        &event.service,
        &event.instance,
    ];
    size_of::<MessageEvent>()
        + texts.iter().map(|text| text.len()).sum::<usize>()
        + event.keys.iter().map(|key| key.len() + size_of::<String>()).sum::<usize>()
        + event.links.len() * size_of::<hopscope_model::SpanContext>()
        + attributes
}

fn value_bytes(value: &hopscope_model::Value) -> usize {
    use hopscope_model::Value;
    size_of::<(String, Value)>()
        + match value {
            Value::Text(text) | Value::Bytes(text) | Value::Json(text) => text.len(),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) => 0,
        }
}

/// How many of these events, in order, go into one page: at least one, so that paging always moves on.
pub(crate) fn page_len<'a>(
    events: impl Iterator<Item = &'a MessageEvent>,
    events_max: usize,
    bytes_max: usize,
) -> usize {
    let mut bytes = 0usize;
    let mut len = 0;
    for event in events.take(events_max.max(1)) {
        bytes += event_bytes(event);
        if len > 0 && bytes > bytes_max {
            break;
        }
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_foreign_ones_are_refused() {
        for at in [(0, EventId(0)), (i64::MIN, EventId(u128::MAX)), (i64::MAX, EventId(7))] {
            assert_eq!(place(&cursor(at)).ok(), Some(at));
        }
        for bad in ["", "1", ":", "1:", "1:g", "x:1", "1:100000000000000000000000000000000"] {
            assert!(matches!(place(bad), Err(Error { kind: ErrorKind::Invalid, .. })), "{bad}");
        }
    }
}
