//! Spans of the application's own tracers, on their way into the queues.

use crate::export::Worth;
use crate::export::envelope::Envelope;
use crate::export::otlp::write_span_data;
use crate::export::queue::Queue;
use opentelemetry::Context;
use opentelemetry::trace::Status;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Encodes spans that end, and puts them into each queue.
#[derive(Debug)]
pub(super) struct Processor {
    pub queues: Vec<Queue>,
    pub envelope: Arc<Envelope>,
}

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        if !span.span_context.is_sampled() || self.queues.is_empty() {
            return;
        }
        let has_failed = matches!(span.status, Status::Error { .. });
        let worth = if has_failed { Worth::Kept } else { Worth::Ordinary };
        let scope = self.envelope.scope(&span.instrumentation_scope);
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            write_span_data(buffer, &span);
            self.queues.iter().for_each(|queue| queue.push_scoped(scope, buffer, worth));
            // One huge span must not be remembered for ever.
            buffer.shrink_to(BUFFER_BYTES_KEPT);
        });
    }

    fn force_flush(&self) -> OTelSdkResult {
        let until = Instant::now() + FLUSH_DEADLINE;
        let is_empty =
            self.queues.iter().all(|queue| queue.flush(until.saturating_duration_since(Instant::now())));
        if is_empty { Ok(()) } else { Err(OTelSdkError::Timeout(FLUSH_DEADLINE)) }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let until = Instant::now() + timeout;
        self.queues.iter().for_each(|queue| queue.close(until.saturating_duration_since(Instant::now())));
        Ok(())
    }
}

/// For whoever flushes through OpenTelemetry's own interface, which has no deadline.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of the buffer that a thread keeps between two spans.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;
