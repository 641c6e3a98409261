//! [`SpanView`]: one span as a wire format gives it, borrowed from its bytes. Every format fills the same
//! view, and [`Mapper`](crate::Mapper) alone knows what it means.

use crate::DecodeLimits;
use hopscope_model::{SpanContext, SpanId, TraceId};
use std::borrow::Cow;
use std::ops::Range;

/// An attribute value. Text is what the sender calls UTF-8: it is checked where it is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw<'a> {
    /// No value, or one nested too deep.
    Null,
    /// Text, not checked yet.
    Text(&'a [u8]),
    /// Truth value.
    Bool(bool),
    /// 64-bit integer.
    Int(i64),
    /// 64-bit float.
    Double(f64),
    /// Raw bytes.
    Bytes(Cow<'a, [u8]>),
    /// An array of nothing but text: not empty.
    Texts(Vec<&'a [u8]>),
    /// Any other array, or a map, as compact JSON.
    Json(String),
}

/// One attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeView<'a> {
    /// Its name, as the sender spelled it; not checked yet.
    pub key: &'a [u8],
    /// Its value.
    pub value: Raw<'a>,
}

/// Attributes of one span, link or resource, up to a limit.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    items: Vec<AttributeView<'a>>,
    items_max: usize,
    dropped: u64,
}

impl<'a> Attributes<'a> {
    /// None yet; at most [`DecodeLimits::attributes_per_span_max`].
    pub fn new(limits: &DecodeLimits) -> Self {
        Self { items: Vec::new(), items_max: limits.attributes_per_span_max, dropped: 0 }
    }

    /// Adds one, or counts it as dropped: past the limit, and without a name, which OTLP does not allow.
    // Always inline: a value that is built where it will lie is not written and read back on the way.
    #[inline(always)]
    pub fn push(&mut self, key: &'a [u8], value: Raw<'a>) {
        if self.items.len() < self.items_max && !key.is_empty() {
            self.items.push(AttributeView { key, value });
        } else {
            self.dropped += 1;
        }
    }

    /// Counts attributes that were dropped elsewhere, by the sender for one.
    pub fn count_dropped(&mut self, attributes: u64) {
        self.dropped = self.dropped.saturating_add(attributes);
    }

    pub(crate) fn items(&self) -> &[AttributeView<'a>] {
        &self.items
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.dropped = 0;
    }
}

/// What `status.code` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Status {
    /// Nothing: the usual case of a success.
    #[default]
    Unset,
    /// Success, said by a person.
    Ok,
    /// Failure.
    Error,
}

/// What `kind` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Kind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    /// The value of that OTLP number; unknown ones are `Unspecified`.
    pub fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
}

/// Whether the context that a parent or a link names came over the wire: bits 8 and 9 of OTLP's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    Yes,
    No,
    NotSaid,
}

pub(crate) fn remote_of(flags: u32) -> Remote {
    match flags & 0x300 {
        0x300 => Remote::Yes,
        0x100 => Remote::No,
        _ => Remote::NotSaid,
    }
}

/// Most retries in place that are kept of one span.
const RETRIES_MAX: usize = 32;

/// One link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkView {
    /// What it links to; zeros where the sender had no valid context.
    pub context: SpanContext,
    /// OTLP's flags.
    pub flags: u32,
    attributes: Range<usize>,
}

/// Name of the SDK's event.
pub(crate) const RETRY: &str = "hopscope.retry";

/// An attempt in place that failed, with another to follow: an event [`RETRY`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RetryView<'a> {
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// How long after it the next one began, ms.
    pub delay_ms: i64,
    /// `error.type`, not checked yet.
    pub error_type: &'a [u8],
}

/// One span. Made once and refilled, so that its lists are allocated once a request.
#[derive(Clone, Debug)]
pub struct SpanView<'a> {
    /// Trace; zero where it was absent or not 16 bytes.
    pub trace: TraceId,
    /// Span; zero where it was absent or not 8 bytes.
    pub span: SpanId,
    /// Parent; zero where it has none.
    pub parent: SpanId,
    /// OTLP's flags: bits 8 and 9 say whether the parent is remote.
    pub flags: u32,
    /// `tracestate`, not checked yet.
    pub trace_state: &'a [u8],
    /// Name, not checked yet.
    pub name: &'a [u8],
    /// Kind.
    pub kind: Kind,
    /// Begin, ns since the epoch.
    pub start_ns: u64,
    /// End, ns since the epoch; 0 where it never ended.
    pub end_ns: u64,
    /// Status.
    pub status: Status,
    /// Status message, not checked yet.
    pub status_message: &'a [u8],
    /// Own attributes.
    pub attributes: Attributes<'a>,
    /// `exception.type` of the first exception event.
    pub exception_type: Option<Raw<'a>>,
    /// `exception.message` of the first exception event.
    pub exception_message: Option<Raw<'a>>,
    retries: Vec<RetryView<'a>>,
    links: Vec<LinkView>,
    link_attributes: Vec<AttributeView<'a>>,
    links_max: usize,
    link_attributes_max: usize,
    dropped_links: u64,
}

impl<'a> SpanView<'a> {
    /// An empty one under these limits.
    pub fn new(limits: &DecodeLimits) -> Self {
        Self {
            trace: TraceId::ZERO,
            span: SpanId::ZERO,
            parent: SpanId::ZERO,
            flags: 0,
            trace_state: b"",
            name: b"",
            kind: Kind::Unspecified,
            start_ns: 0,
            end_ns: 0,
            status: Status::Unset,
            status_message: b"",
            attributes: Attributes::new(limits),
            exception_type: None,
            exception_message: None,
            retries: Vec::new(),
            links: Vec::new(),
            link_attributes: Vec::new(),
            links_max: limits.links_per_span_max,
            link_attributes_max: limits.attributes_per_span_max,
            dropped_links: 0,
        }
    }

    /// Empties it for the next span.
    pub fn clear(&mut self) {
        self.trace = TraceId::ZERO;
        self.span = SpanId::ZERO;
        self.parent = SpanId::ZERO;
        self.flags = 0;
        self.trace_state = b"";
        self.name = b"";
        self.kind = Kind::Unspecified;
        self.start_ns = 0;
        self.end_ns = 0;
        self.status = Status::Unset;
        self.status_message = b"";
        self.attributes.clear();
        self.exception_type = None;
        self.exception_message = None;
        self.retries.clear();
        self.links.clear();
        self.link_attributes.clear();
        self.dropped_links = 0;
    }

    /// Begins an event `hopscope.retry`. Past [`RETRIES_MAX`] it is left out: the span says how many there were.
    pub fn begin_retry(&mut self) -> bool {
        let wanted = self.retries.len() < RETRIES_MAX;
        if wanted {
            self.retries.push(RetryView::default());
        }
        wanted
    }

    /// An attribute of the retry that was begun last.
    pub fn retry_attribute(&mut self, key: &[u8], value: &Raw<'a>) {
        let Some(retry) = self.retries.last_mut() else { return };
        match (key, value) {
            (b"hopscope.attempt", Raw::Int(number)) => retry.attempt = *number,
            (b"hopscope.retry.delay_ms", Raw::Int(delay_ms)) => retry.delay_ms = *delay_ms,
            (b"error.type", Raw::Text(error_type)) => retry.error_type = error_type,
            _ => {}
        }
    }

    pub(crate) fn retries(&self) -> &[RetryView<'a>] {
        &self.retries
    }

    /// Begins a link. Past [`DecodeLimits::links_per_span_max`], and for a link that names nothing at all, it is
    /// counted as dropped and `false` comes back: its attributes are not wanted.
    pub fn begin_link(&mut self, context: SpanContext, flags: u32, has_attributes: bool) -> bool {
        if self.links.len() >= self.links_max || (context.is_zero() && !has_attributes) {
            self.dropped_links += 1;
            return false;
        }
        let end = self.link_attributes.len();
        // Half a context names nothing.
        let context = if context.is_zero() { SpanContext::default() } else { context };
        self.links.push(LinkView { context, flags, attributes: end..end });
        true
    }

    /// An attribute of the link that was begun last.
    pub fn link_attribute(&mut self, key: &'a [u8], value: Raw<'a>) {
        let Some(link) = self.links.last_mut() else { return };
        if link.attributes.len() < self.link_attributes_max && !key.is_empty() {
            self.link_attributes.push(AttributeView { key, value });
            link.attributes.end = self.link_attributes.len();
        } else {
            self.attributes.count_dropped(1);
        }
    }

    /// Counts links that were dropped elsewhere, by the sender for one.
    pub fn count_dropped_links(&mut self, links: u64) {
        self.dropped_links = self.dropped_links.saturating_add(links);
    }

    pub(crate) fn links(&self) -> &[LinkView] {
        &self.links
    }

    pub(crate) fn attributes_of(&self, link: &LinkView) -> &[AttributeView<'a>] {
        self.link_attributes.get(link.attributes.clone()).unwrap_or_default()
    }

    pub(crate) fn dropped_links(&self) -> u64 {
        self.dropped_links
    }
}
