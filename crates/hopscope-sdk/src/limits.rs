//! [`Limits`]: how much one span may hold.

/// How much one span may hold; what is beyond is left out and counted in the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of the application on one span (`OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`).
    pub attributes_max: u32,
    /// Events on one span (`OTEL_SPAN_EVENT_COUNT_LIMIT`).
    pub events_max: u32,
    /// Links on one span (`OTEL_SPAN_LINK_COUNT_LIMIT`); a batch of more messages becomes several spans, so that none
    /// is lost.
    pub links_max: u32,
    /// Bytes of one text (`OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`).
    pub value_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attributes_max: 128, events_max: 128, links_max: 128, value_bytes_max: 4096 }
    }
}
