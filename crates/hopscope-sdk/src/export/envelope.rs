//! [`Envelope`]: what stands around spans in a request: the resource and the scopes.

use super::otlp;
use super::protobuf::{bytes_field, message_field};
use opentelemetry::{InstrumentationScope, KeyValue};
use std::sync::{PoisonError, RwLock};

/// The number of our own scope.
pub(crate) const OWN_SCOPE: u32 = 0;

/// Scopes that are told apart; an application has one for each library that it traces.
const SCOPES_MAX: usize = 1024;

/// The resource and the scopes of a process.
#[derive(Debug)]
pub(crate) struct Envelope {
    resource: Vec<u8>,
    scopes: RwLock<Vec<InstrumentationScope>>,
}

impl Envelope {
    pub fn new(resource: &[KeyValue]) -> Self {
        let mut encoded = Vec::new();
        otlp::write_resource(&mut encoded, resource);
        Self { resource: encoded, scopes: RwLock::new(vec![crate::telemetry::scope()]) }
    }

    /// The number of a scope. One too many is taken for one without a name.
    pub fn scope(&self, scope: &InstrumentationScope) -> u32 {
        let find = |scopes: &[InstrumentationScope]| scopes.iter().position(|known| known == scope);
        if let Some(known) = find(&self.scopes.read().unwrap_or_else(PoisonError::into_inner)) {
            return known as u32;
        }
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        match find(&scopes) {
            Some(known) => known as u32,
            None if scopes.len() >= SCOPES_MAX => u32::MAX,
            None => {
                scopes.push(scope.clone());
                (scopes.len() - 1) as u32
            }
        }
    }

    /// Bytes that it adds to the spans, about.
    pub fn bytes(&self) -> usize {
        self.resource.len() + 1024
    }

    /// Appends an `ExportTraceServiceRequest`. `spans`: the number of the scope, and the encoded span.
    pub fn write_traces<'s>(&self, out: &mut Vec<u8>, spans: impl Iterator<Item = (u32, &'s [u8])> + Clone) {
        let mut numbers: Vec<u32> = Vec::new();
        for (scope, _) in spans.clone() {
            if !numbers.contains(&scope) {
                numbers.push(scope);
            }
        }
        let scopes = self.scopes.read().unwrap_or_else(PoisonError::into_inner);
        let nameless = InstrumentationScope::default();
        message_field(out, 1, |out| {
            bytes_field(out, 1, &self.resource);
            for number in numbers {
                let of_scope = spans.clone().filter(|(scope, _)| *scope == number).map(|(_, span)| span);
                otlp::write_scope_spans(out, scopes.get(number as usize).unwrap_or(&nameless), of_scope);
            }
        });
    }
}
