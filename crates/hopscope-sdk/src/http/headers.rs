//! Headers of HTTP as a carrier.

use crate::{CarrierMut, Headers};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Borrow;

/// The headers of a request, to read (`HttpHeaders(&map)`) or to write (`HttpHeaders(&mut map)`).
#[derive(Debug)]
pub struct HttpHeaders<M>(pub M);

impl<M: Borrow<HeaderMap>> Headers for HttpHeaders<M> {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (name, value) in self.0.borrow() {
            visit(name.as_str().as_bytes(), Some(value.as_bytes()));
        }
    }
}

impl CarrierMut for HttpHeaders<&mut HeaderMap> {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        let named = |name: &&HeaderName| is_named(name.as_str().as_bytes());
        let found: Vec<HeaderName> = self.0.keys().filter(named).cloned().collect();
        for name in found {
            self.0.remove(name);
        }
    }

    /// What cannot be a header (line breaks) is left out.
    fn set(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            self.0.insert(name, value);
        }
    }

    /// Headers of HTTP are text.
    fn set_bytes(&mut self, _name: &str, _value: &[u8]) {}
}
