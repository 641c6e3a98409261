//! `ExportTraceServiceRequest` in protobuf, walked field by field. Field numbers are those of
//! `opentelemetry/proto/trace/v1/trace.proto` and its neighbours.

use super::{DecodeLimits, Decoded};
use crate::Error;
use crate::json_text;
use crate::mapper::{Mapper, Scope};
use crate::protobuf::{Field, Malformed, Reader};
use crate::span::{Attributes, Kind, RETRY, Raw, SpanView, Status};
use hopscope_model::{Source, SpanContext, SpanId, Tenant, TraceId};
use std::borrow::Cow;

/// Decodes a request. Bytes that are not protobuf are an error as a whole; spans that cannot be stored are
/// counted in [`Decoded::rejected`]. A known field of the wrong wire type is an unknown field.
pub fn decode_protobuf(
    bytes: &[u8],
    tenant: &Tenant,
    received_ns: i64,
    limits: &DecodeLimits,
) -> Result<Decoded, Error> {
    // Every known encoder writes a resource and a scope before their spans. Where one does not, a second
    // attempt looks for them first; doing that always would cost a walk over bytes that are not cached yet.
    for look_ahead in [false, true] {
        let mut decoder = Decoder {
            mapper: Mapper::new(tenant, Source::Otlp, received_ns, limits),
            view: SpanView::new(limits),
            link_bytes: Vec::new(),
            limits,
            look_ahead,
            came_late: false,
        };
        // Few spans take less than this on the wire; columns that are a little large cost nothing.
        decoder.mapper.reserve(bytes.len() / 400);
        match decoder.request(bytes) {
            Ok(()) if decoder.came_late => {}
            Ok(()) => return Ok(decoder.mapper.finish()),
            Err(malformed) => {
                let (what, offset) = (malformed.what, malformed.offset(bytes));
                return Err(Error::invalid(format!("malformed protobuf: {what} offset={offset}")));
            }
        }
    }
    unreachable!("what is looked for first does not come late")
}

struct Decoder<'a, 'l> {
    mapper: Mapper<'a>,
    view: SpanView<'a>,
    /// Links of the current span: read after its attributes.
    link_bytes: Vec<&'a [u8]>,
    limits: &'l DecodeLimits,
    /// Look for resource and scope before the first span.
    look_ahead: bool,
    /// One of them stood behind a span that needed it.
    came_late: bool,
}

/// Calls the arm of each field that matches; others are unknown and walked over.
macro_rules! walk {
    ($message:expr, { $($pattern:pat $(if $guard:expr)? => $action:expr,)* }) => {{
        let mut reader = Reader::new($message);
        while let Some(field) = reader.next()? {
            match field {
                $($pattern $(if $guard)? => $action,)*
                _ => {}
            }
        }
    }};
}

pub(super) use walk;

impl<'a> Decoder<'a, '_> {
    fn request(&mut self, request: &'a [u8]) -> Result<(), Malformed> {
        walk!(request, {
            (1, Field::Bytes(resource_spans)) => self.resource_spans(resource_spans)?,
        });
        Ok(())
    }

    fn resource_spans(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut attributes = Attributes::new(self.limits);
        if self.look_ahead {
            walk!(message, {
                (1, Field::Bytes(resource)) => self.resource(resource, &mut attributes)?,
            });
        }
        let mut spans_seen = false;
        walk!(message, {
            (1, Field::Bytes(_)) if self.look_ahead => {},
            (1, Field::Bytes(resource)) => {
                self.came_late |= spans_seen;
                self.resource(resource, &mut attributes)?;
            },
            (2, Field::Bytes(scope_spans)) => {
                spans_seen = true;
                self.scope_spans(scope_spans, &attributes)?;
            },
        });
        Ok(())
    }

    fn resource(&self, message: &'a [u8], attributes: &mut Attributes<'a>) -> Result<(), Malformed> {
        walk!(message, {
            (1, Field::Bytes(attribute)) => self.attribute(attribute, attributes)?,
            (2, Field::Varint(dropped)) => attributes.count_dropped(u64::from(dropped as u32)),
        });
        Ok(())
    }

    fn scope_spans(&mut self, message: &'a [u8], resource: &Attributes<'a>) -> Result<(), Malformed> {
        let mut scope = Scope::default();
        if self.look_ahead {
            walk!(message, {
                (1, Field::Bytes(bytes)) => read_scope(bytes, &mut scope)?,
            });
        }
        let mut spans_seen = false;
        walk!(message, {
            (1, Field::Bytes(_)) if self.look_ahead => {},
            (1, Field::Bytes(bytes)) => {
                self.came_late |= spans_seen;
                read_scope(bytes, &mut scope)?;
            },
            (2, Field::Bytes(span)) => {
                if !spans_seen {
                    self.mapper.resource(resource, scope);
                    spans_seen = true;
                }
                self.span(span)?;
            },
        });
        Ok(())
    }

    fn span(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.view.clear();
        self.link_bytes.clear();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field {
                (9, Field::Bytes(bytes)) => self.span_attribute(bytes)?,
                (1, Field::Bytes(id)) => self.view.trace = TraceId::from_bytes(id).unwrap_or_default(),
                (2, Field::Bytes(id)) => self.view.span = SpanId::from_bytes(id).unwrap_or_default(),
                (3, Field::Bytes(state)) => self.view.trace_state = state,
                (4, Field::Bytes(id)) => self.view.parent = SpanId::from_bytes(id).unwrap_or_default(),
                (5, Field::Bytes(name)) => self.view.name = name,
                (6, Field::Varint(kind)) => self.view.kind = Kind::from_number(i64::from(kind as i32)),
                (7, Field::Fixed64(time)) => self.view.start_ns = time,
                (8, Field::Fixed64(time)) => self.view.end_ns = time,
                (10, Field::Varint(dropped)) => {
                    self.view.attributes.count_dropped(u64::from(dropped as u32));
                }
                (11, Field::Bytes(event)) => self.event(event)?,
                (13, Field::Bytes(link)) => self.link_bytes.push(link),
                (14, Field::Varint(dropped)) => self.view.count_dropped_links(u64::from(dropped as u32)),
                (15, Field::Bytes(status)) => self.status(status)?,
                (16, Field::Fixed32(flags)) => self.view.flags = flags,
                _ => {}
            }
        }
        for index in 0..self.link_bytes.len() {
            self.link(self.link_bytes[index])?;
        }
        self.mapper.span(&self.view);
        Ok(())
    }

    fn status(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        walk!(message, {
            (2, Field::Bytes(text)) => self.view.status_message = text,
            (3, Field::Varint(code)) => self.view.status = match code as i32 {
                1 => Status::Ok,
                2 => Status::Error,
                _ => Status::Unset,
            },
        });
        Ok(())
    }

    /// Of the span's events the first exception is kept, and retries in place.
    fn event(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut name = &message[..0];
        walk!(message, {
            (2, Field::Bytes(bytes)) => name = bytes,
        });
        let is_exception = name == b"exception";
        let is_retry = name == RETRY.as_bytes() && self.view.begin_retry();
        let first = self.view.exception_type.is_none() && self.view.exception_message.is_none();
        walk!(message, {
            (3, Field::Bytes(attribute)) => {
                let (key, value) = key_value(attribute)?;
                // Looked at in any case, so that malformed bytes are found wherever they are.
                let value = any_value(value, self.limits.nesting_max)?;
                if is_retry {
                    self.view.retry_attribute(key, &value);
                }
                match key {
                    b"exception.type" if is_exception && first => self.view.exception_type = Some(value),
                    b"exception.message" if is_exception && first => self.view.exception_message = Some(value),
                    _ => {}
                }
            },
        });
        Ok(())
    }

    fn link(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (mut context, mut flags, mut has_attributes) = (SpanContext::default(), 0, false);
        walk!(message, {
            (1, Field::Bytes(id)) => context.trace = TraceId::from_bytes(id).unwrap_or_default(),
            (2, Field::Bytes(id)) => context.span = SpanId::from_bytes(id).unwrap_or_default(),
            (4, Field::Bytes(_)) => has_attributes = true,
            (6, Field::Fixed32(bits)) => flags = bits,
        });
        let wanted = self.view.begin_link(context, flags, has_attributes);
        if !has_attributes {
            return Ok(());
        }
        walk!(message, {
            (4, Field::Bytes(attribute)) => {
                let (key, value) = key_value(attribute)?;
                let value = any_value(value, self.limits.nesting_max)?;
                if wanted {
                    self.view.link_attribute(key, value);
                }
            },
        });
        Ok(())
    }

    /// The usual attribute is a key and then a text or an integer: it goes into its place without a stop.
    #[inline(always)]
    fn span_attribute(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(message);
        if let Some((1, Field::Bytes(key))) = reader.next()?
            && let Some((2, Field::Bytes(value))) = reader.next()?
            && reader.is_at_end()
        {
            let mut reader = Reader::new(value);
            match reader.next()? {
                Some((1, Field::Bytes(text))) if reader.is_at_end() => {
                    self.view.attributes.push(key, Raw::Text(text));
                    return Ok(());
                }
                Some((3, Field::Varint(number))) if reader.is_at_end() => {
                    self.view.attributes.push(key, Raw::Int(number as i64));
                    return Ok(());
                }
                _ => {}
            }
        }
        self.unusual_attribute(message)
    }

    #[inline(never)]
    fn unusual_attribute(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (key, value) = key_value(message)?;
        let value = any_value(value, self.limits.nesting_max)?;
        self.view.attributes.push(key, value);
        Ok(())
    }

    fn attribute(&self, message: &'a [u8], into: &mut Attributes<'a>) -> Result<(), Malformed> {
        let (key, value) = key_value(message)?;
        into.push(key, any_value(value, self.limits.nesting_max)?);
        Ok(())
    }
}

pub(super) fn read_scope<'a>(message: &'a [u8], scope: &mut Scope<'a>) -> Result<(), Malformed> {
    walk!(message, {
        (1, Field::Bytes(name)) => scope.name = name,
        (2, Field::Bytes(version)) => scope.version = version,
    });
    Ok(())
}

/// Key and encoded value of a `KeyValue`.
#[inline(always)]
pub(super) fn key_value(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut key, mut value) = (&message[..0], &message[..0]);
    walk!(message, {
        (1, Field::Bytes(bytes)) => key = bytes,
        (2, Field::Bytes(bytes)) => value = bytes,
    });
    Ok((key, value))
}

/// An `AnyValue`; of several members the last one counts.
#[inline(always)]
pub(super) fn any_value(message: &[u8], nesting_max: usize) -> Result<Raw<'_>, Malformed> {
    let mut value = Raw::Null;
    walk!(message, {
        (1, Field::Bytes(text)) => value = Raw::Text(text),
        (2, Field::Varint(truth)) => value = Raw::Bool(truth != 0),
        (3, Field::Varint(number)) => value = Raw::Int(number as i64),
        (4, Field::Fixed64(bits)) => value = Raw::Double(f64::from_bits(bits)),
        (5, Field::Bytes(array)) => value = array_value(array, nesting_max)?,
        (6, Field::Bytes(map)) => {
            let mut json = String::new();
            put_map(&mut json, map, nesting_max)?;
            value = Raw::Json(json);
        },
        (7, Field::Bytes(bytes)) => value = Raw::Bytes(Cow::Borrowed(bytes)),
    });
    Ok(value)
}

#[cold]
fn array_value(message: &[u8], nesting_max: usize) -> Result<Raw<'_>, Malformed> {
    let mut texts = Vec::new();
    let mut all_texts = true;
    walk!(message, {
        (1, Field::Bytes(item)) => {
            match only_text(item)? {
                Some(text) if all_texts => texts.push(text),
                _ => all_texts = false,
            }
        },
    });
    if all_texts && !texts.is_empty() {
        return Ok(Raw::Texts(texts));
    }
    let mut json = String::new();
    put_array(&mut json, message, nesting_max)?;
    Ok(Raw::Json(json))
}

/// The text of an `AnyValue` that is one.
fn only_text(message: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut text = None;
    walk!(message, {
        (1, Field::Bytes(bytes)) => text = Some(bytes),
        (2..=7, _) => text = None,
    });
    Ok(text)
}

fn put_array(out: &mut String, message: &[u8], nesting_left: usize) -> Result<(), Malformed> {
    let Some(nesting_left) = nesting_left.checked_sub(1) else {
        out.push_str("null");
        return Ok(());
    };
    out.push('[');
    let mut first = true;
    walk!(message, {
        (1, Field::Bytes(item)) => {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            put_value(out, item, nesting_left)?;
        },
    });
    out.push(']');
    Ok(())
}

fn put_map(out: &mut String, message: &[u8], nesting_left: usize) -> Result<(), Malformed> {
    let Some(nesting_left) = nesting_left.checked_sub(1) else {
        out.push_str("null");
        return Ok(());
    };
    out.push('{');
    let mut first = true;
    walk!(message, {
        (1, Field::Bytes(item)) => {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            let (key, value) = key_value(item)?;
            json_text::put_text(out, key);
            out.push(':');
            put_value(out, value, nesting_left)?;
        },
    });
    out.push('}');
    Ok(())
}

/// Writes a value inside an array or a map. Recursion ends with `nesting_left`.
fn put_value(out: &mut String, message: &[u8], nesting_left: usize) -> Result<(), Malformed> {
    let begin = out.len();
    let mut written = false;
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        if !matches!(
            (number, field),
            (1 | 5 | 6 | 7, Field::Bytes(_)) | (2 | 3, Field::Varint(_)) | (4, Field::Fixed64(_))
        ) {
            continue;
        }
        out.truncate(begin);
        written = true;
        match (number, field) {
            (1, Field::Bytes(text)) => json_text::put_text(out, text),
            (2, Field::Varint(truth)) => out.push_str(if truth != 0 { "true" } else { "false" }),
            (3, Field::Varint(number)) => json_text::put_int(out, number as i64),
            (4, Field::Fixed64(bits)) => json_text::put_double(out, f64::from_bits(bits)),
            (5, Field::Bytes(array)) => put_array(out, array, nesting_left)?,
            (6, Field::Bytes(map)) => put_map(out, map, nesting_left)?,
            (7, Field::Bytes(bytes)) => json_text::put_text(out, json_text::hex(bytes).as_bytes()),
            _ => {}
        }
    }
    if !written {
        out.push_str("null");
    }
    Ok(())
}
