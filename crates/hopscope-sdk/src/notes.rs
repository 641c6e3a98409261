//! [`Notes`]: what the application adds to a step that is a record.

use crate::record::{Ended, Record};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, Span, SpanContext, Status};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// What the application adds to a step while it is under way.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub attributes: Vec<KeyValue>,
    pub events: Vec<Event>,
    failed: Option<String>,
}

impl Notes {
    /// The span that the application finds in the step's context. It writes notes; only the step itself ends.
    pub fn span(context: SpanContext, notes: Arc<Mutex<Self>>) -> NotesSpan {
        NotesSpan { context, notes }
    }

    pub fn into_record(self, record: &mut Record) {
        record.attributes.extend(self.attributes);
        record.events.extend(self.events);
        if let (Some(message), Ended::Ok) = (self.failed, &record.ended) {
            record.ended = Ended::Failed(crate::Failure::new("_OTHER", message));
        }
    }
}

/// See [`Notes::span`].
#[derive(Debug)]
pub(crate) struct NotesSpan {
    context: SpanContext,
    notes: Arc<Mutex<Notes>>,
}

impl NotesSpan {
    fn note(&self, edit: impl FnOnce(&mut Notes)) {
        edit(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Span for NotesSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, time: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        self.note(|notes| notes.events.push(Event::new(name, time, attributes, 0)));
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        true
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.note(|notes| match notes.attributes.iter_mut().find(|set| set.key == attribute.key) {
            Some(set) => *set = attribute,
            None => notes.attributes.push(attribute),
        });
    }

    fn set_status(&mut self, status: Status) {
        self.note(|notes| match status {
            Status::Error { description } => notes.failed = Some(description.into_owned()),
            Status::Ok => notes.failed = None,
            Status::Unset => {}
        });
    }

    /// The name says which step it is.
    fn update_name<T: Into<Cow<'static, str>>>(&mut self, _name: T) {}

    fn add_link(&mut self, context: SpanContext, attributes: Vec<KeyValue>) {
        // A link of a messaging span means "this message" to every reader: the application's goes into an event.
        let mut attributes = attributes;
        attributes.push(KeyValue::new("link.trace_id", context.trace_id().to_string()));
        attributes.push(KeyValue::new("link.span_id", context.span_id().to_string()));
        self.add_event("link", attributes);
    }

    /// The step ends by itself.
    fn end_with_timestamp(&mut self, _time: SystemTime) {}
}
