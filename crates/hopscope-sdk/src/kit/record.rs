//! Finished spans, kept in memory and printed in a stable form.

use crate::Telemetry;
use opentelemetry::SpanId;
use opentelemetry::trace::{SpanContext, Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps every finished span of its own tracer provider.
#[derive(Debug)]
pub struct Recorder {
    provider: SdkTracerProvider,
    finished: Finished,
}

#[derive(Clone, Debug, Default)]
struct Finished(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Finished {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        Ok(())
    }
}

impl Default for Recorder {
    fn default() -> Self {
        let finished = Finished::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(finished.clone()).build();
        Self { provider, finished }
    }
}

impl Recorder {
    /// Telemetry that ends here.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry::new(&self.provider)
    }

    /// The provider, for spans of an application.
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// The spans that have ended, in that order.
    pub fn finished(&self) -> Vec<SpanData> {
        self.finished.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those spans in print: see [`spans`].
    pub fn text(&self, masked: &[&str], names: &[(&str, &str)]) -> String {
        spans(&self.finished(), masked, names)
    }
}

/// Prints finished spans for golden tests: in order of their end, with traces and spans numbered instead of their
/// random ids, attributes sorted. The values of the attributes in `masked` (times, offsets) are printed as `*`;
/// those in `names` (a topic of this run) are replaced.
pub fn spans(spans: &[SpanData], masked: &[&str], names: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for span in spans {
        let parent = match spans.iter().find(|other| other.span_context.span_id() == span.parent_span_id) {
            Some(parent) => parent.name.to_string(),
            None if span.parent_span_id == SpanId::INVALID => "-".to_owned(),
            None => "elsewhere".to_owned(),
        };
        let links: Vec<_> = span.links.iter().map(|link| link_name(&link.span_context, spans)).collect();
        let kind = format!("{:?}", span.span_kind).to_lowercase();
        let _ = writeln!(text, "{} ({kind}) parent: {parent} links: [{}]", span.name, links.join(", "));
        let mut attributes: Vec<_> =
            span.attributes.iter().map(|set| (set.key.as_str(), &set.value)).collect();
        attributes.sort_by_key(|(key, _)| *key);
        for (key, value) in attributes {
            let value = if masked.contains(&key) { "*".to_owned() } else { value.to_string() };
            let _ = writeln!(text, "  {key} = {value}");
        }
        for link in span.links.iter().filter(|link| !link.attributes.is_empty()) {
            let mut attributes: Vec<_> =
                link.attributes.iter().map(|set| (set.key.as_str(), &set.value)).collect();
            attributes.sort_by_key(|(key, _)| *key);
            let told = attributes.into_iter().map(|(key, value)| match masked.contains(&key) {
                true => format!("{key}=*"),
                false => format!("{key}={value}"),
            });
            let _ = writeln!(text, "  link {}", told.collect::<Vec<_>>().join(" "));
        }
        if span.status != Status::Unset {
            let _ = writeln!(text, "  {:?}", span.status);
        }
    }
    names.iter().fold(text, |text, (from, to)| text.replace(from, to))
}

fn link_name(to: &SpanContext, spans: &[SpanData]) -> String {
    let found = spans.iter().find(|span| span.span_context.span_id() == to.span_id());
    found.map_or_else(|| "elsewhere".to_owned(), |span| span.name.to_string())
}
