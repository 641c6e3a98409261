//! Marking copies, and turning dead letters back into messages.

use super::families::{self, FOREIGN, Names, Numbers, OURS};
use super::{Families, Original, TEXT_BYTES_MAX, read};
use crate::{CarrierMut, CopyKind, Details, Headers, Place};
use opentelemetry::trace::SpanContext;

/// What is to be changed in the headers of a copy: first what goes, then what comes. Every other header stays byte for
/// byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Names of headers that go, all values of them; compared without regard to case.
    pub remove: Vec<&'static str>,
    /// Headers that come. Text, but for Spring's numbers.
    pub set: Vec<(&'static str, Vec<u8>)>,
}

impl Edit {
    /// On headers that hold text: a value that is none (Spring's binary numbers) is left out. Clients whose headers
    /// hold bytes take [`remove`](Self::remove) and [`set`](Self::set) themselves.
    pub fn apply(&self, headers: &mut dyn CarrierMut) {
        headers.remove(&|key| self.remove.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes())));
        for (name, value) in &self.set {
            // The bytes of a small number are valid UTF-8 too: control characters.
            match std::str::from_utf8(value) {
                Ok(text) if !text.contains(char::is_control) => headers.set(name, text),
                _ => {}
            }
        }
    }
}

/// A dead letter on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// What makes its headers those of a message again.
    pub edit: Edit,
    /// Where it lay, as its headers say: where it goes back to. `None`: they do not say; the caller must.
    pub to: Option<Original>,
}

/// The headers of a copy of `original`, whose own headers are given: ours for its kind and, on a dead letter, those of
/// the families. What an earlier copy said in the same headers goes, but for when it first failed and how often it was
/// sent back; headers of families that are not written stay as they are.
pub fn mark(original: &Original, families: &Families, headers: &dyn Headers) -> Edit {
    let mut edit = Edit { remove: OURS.iter().flat_map(Names::all).collect(), set: Vec::new() };
    let earlier = read::first_failed_ns(headers);
    let first_failed_ns = earlier.into_iter().chain(original.first_failed_ns).min();
    let original = Original { first_failed_ns, ..original.clone() };
    for names in OURS.iter().filter(|names| names.kind == original.kind) {
        write(names, &original, &mut edit.set);
    }
    let is_chosen = |names: &&Names| families.0.contains(&names.family) && names.kind == CopyKind::DeadLetter;
    if original.kind == CopyKind::DeadLetter {
        for names in FOREIGN.iter().filter(is_chosen) {
            edit.remove.extend(names.all());
            write(names, &original, &mut edit.set);
        }
    }
    edit
}

/// Turns a dead letter, found at `place` with those headers, back into a message: whatever made it a copy goes, of
/// every family; the application's headers and its context stay; and `hopscope-redrive-*` says out of which dead letter
/// it came, and how often. A consumer sees a redrive; from its dead letter the chain goes on to the original.
pub fn redrive(place: Place<'_>, details: &Details<'_>, headers: &dyn Headers) -> Redrive {
    let destination = match place {
        Place::RabbitMq { queue, .. } => queue.into(),
        _ => place.name(),
    };
    let to = read::read(&destination, headers).filter(|original| original.kind != CopyKind::Redrive);
    // How often the reader of the dead letters was given this one says nothing of the message.
    let from = Original { attempts: None, ..Original::at(CopyKind::Redrive, place, details) };
    let mut edit = mark(&from, &Families::ours(), headers);
    edit.remove.extend(FOREIGN.iter().flat_map(Names::all));
    edit.remove.extend(families::RABBITMQ.iter().flatten());
    edit.remove.extend(families::RABBITMQ_MORE);
    edit.remove.extend(families::ROCKETMQ_COPY);
    edit.remove.push(families::REDRIVE_COUNT);
    let redrives = read::redrives(headers).saturating_add(1);
    edit.set.push((families::REDRIVE_COUNT, redrives.to_string().into_bytes()));
    Redrive { edit, to }
}

fn write(names: &Names, of: &Original, out: &mut Vec<(&'static str, Vec<u8>)>) {
    let mut set = |name: &'static str, value: Option<Vec<u8>>| {
        if let Some(value) = value.filter(|value| !name.is_empty() && !value.is_empty()) {
            out.push((name, value));
        }
    };
    let binary = names.numbers == Numbers::Binary;
    let small = |number: i64| match i32::try_from(number) {
        Ok(number) if binary => number.to_be_bytes().to_vec(),
        _ => number.to_string().into_bytes(),
    };
    let large = |number: i64| {
        if binary { number.to_be_bytes().to_vec() } else { number.to_string().into_bytes() }
    };
    set(names.destination, text(&of.destination));
    set(names.address, text(&of.address));
    set(names.broker, text(&of.broker));
    set(names.partition, of.partition.map(|partition| small(partition.into())));
    set(names.position, of.position.map(large));
    set(names.message_id, text(&of.message_id));
    // A group is no connector.
    if names.group != families::CONNECTOR_NAME {
        set(names.group, text(&of.group));
    }
    set(names.attempts, of.attempts.map(|attempts| small(attempts.into())));
    set(names.reason, text(&of.reason));
    set(names.error_type, text(&of.error_type));
    set(names.first_failed_at, of.first_failed_ns.map(large));
    set(names.context, of.context.as_ref().filter(|context| context.is_valid()).map(traceparent));
}

fn traceparent(context: &SpanContext) -> Vec<u8> {
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    format!("00-{trace}-{span}-{flags:02x}").into_bytes()
}

/// Cut, and without control characters: headers of NATS end at a line break, properties of RocketMQ at 1 and 2.
fn text(value: &str) -> Option<Vec<u8>> {
    let cut = &value[..value.floor_char_boundary(TEXT_BYTES_MAX)];
    Some(cut.replace(char::is_control, " ").into_bytes())
}
