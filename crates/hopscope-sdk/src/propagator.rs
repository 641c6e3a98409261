//! [`Propagator`]: the same formats for HTTP and gRPC between two queues.

use crate::{CarrierMut, Formats, Headers, carrier};
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};

/// [`Formats`] as a propagator of OpenTelemetry; [`crate::setup`] makes it the global one.
#[derive(Debug)]
pub struct Propagator {
    formats: Formats,
    fields: Vec<String>,
}

impl Propagator {
    /// A propagator of these formats.
    pub fn new(formats: Formats) -> Self {
        let fields = formats.write.iter().flat_map(|format| format.keys()).map(|key| (*key).to_owned());
        let baggage = formats.baggage.is_on().then(|| crate::baggage::HEADER.to_owned());
        let fields = fields.chain(baggage).collect();
        Self { formats, fields }
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        carrier::inject(&self.formats, context, &mut ToInjector(injector));
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        carrier::extract(&self.formats, &FromExtractor(extractor)).into_context(context)
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}

struct ToInjector<'a>(&'a mut dyn Injector);

/// An injector's `set` replaces; there is nothing older in the headers of a new request.
impl CarrierMut for ToInjector<'_> {
    fn remove(&mut self, _is_named: &dyn Fn(&[u8]) -> bool) {}

    fn set(&mut self, name: &str, value: &str) {
        self.0.set(name, value.to_owned());
    }

    /// An injector takes text alone.
    fn set_bytes(&mut self, _name: &str, _value: &[u8]) {}
}

struct FromExtractor<'a>(&'a dyn Extractor);

impl Headers for FromExtractor<'_> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        let mut names = self.0.keys();
        // An extractor may list a name once for each of its values, and gives all of them at every mention.
        names.sort_unstable();
        names.dedup();
        for name in names {
            for value in self.0.get_all(name).into_iter().flatten() {
                visit(name.as_bytes(), Some(value.as_bytes()));
            }
        }
    }

    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        for value in self.0.get_all(name).into_iter().flatten() {
            visit(Some(value.as_bytes()));
        }
    }
}
