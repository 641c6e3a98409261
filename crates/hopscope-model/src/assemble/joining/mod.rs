//! Which events belong to one message: the rules of joining, in one pass over all evidence.
//!
//! Coordinates first, split where their creation contexts disagree; then what has no coordinates: by its
//! parent, by its creation context as long as that names one message, by its message id. Business keys are
//! never looked at. About linear: every rule is a look-up, none compares all with all.

mod facts;
mod few;
mod rules;

use crate::{CopyKind, Join, MessageEvent, SpanContext, Stage};
pub(in crate::assemble) use facts::{copied_from, is_commit, text};
pub(in crate::assemble) use rules::join;
use std::collections::HashMap;

/// Longest chain of parents that is followed to find the message of a span.
const PARENT_STEPS_MAX: usize = 8;

/// All messages in some evidence.
pub(in crate::assemble) struct Joined<'e> {
    pub events: &'e [MessageEvent],
    pub messages: Vec<Message<'e>>,
    /// The message of each event, where it has exactly one.
    pub message_of: Vec<Option<usize>>,
    /// Events by the span that reported them, in order of time.
    pub by_span: HashMap<SpanContext, Vec<usize>>,
    /// Messages by creation class.
    pub by_class: HashMap<SpanContext, Vec<usize>>,
    /// Messages by place.
    pub by_place: HashMap<Place<'e>, Vec<usize>>,
    /// Messages by (system, destination, message id).
    pub by_id: HashMap<(&'e str, &'e str, &'e str), Vec<usize>>,
    aliases: HashMap<SpanContext, SpanContext>,
    /// Create and Send events of a context that names several messages: they belong to each of them.
    shared: HashMap<Scope<'e>, Vec<usize>>,
    /// Other events of such a context, which belong to one of them, and nothing says to which.
    undecided: HashMap<SpanContext, usize>,
}

/// One message: what names it, and its events.
#[derive(Default)]
pub(in crate::assemble) struct Message<'e> {
    pub members: Vec<(usize, Join)>,
    pub system: &'e str,
    pub cluster: &'e str,
    pub destination: &'e str,
    pub lane: &'e str,
    pub position: Option<i64>,
    /// The context that made it; aliases (a Create span and its Send) resolved.
    pub class: Option<SpanContext>,
    pub ids: Vec<&'e str>,
    /// What its headers say of the message it was copied from.
    pub copied_from: Option<CopiedFrom<'e>>,
    /// Other messages have the same coordinates.
    pub reused: bool,
    names: Vec<&'e str>,
    scopes: Vec<Scope<'e>>,
    registered: bool,
}

/// `hopscope.copied_from.*`, as far as it tells one copy from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::assemble) struct CopiedFrom<'e> {
    pub kind: CopyKind,
    pub destination: &'e str,
    pub lane: &'e str,
    pub position: Option<i64>,
    pub message_id: &'e str,
    pub group: &'e str,
}

/// Coordinates, borrowed; the cluster resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::assemble) struct Place<'e> {
    pub system: &'e str,
    pub cluster: &'e str,
    pub destination: &'e str,
    pub lane: &'e str,
    pub position: i64,
}

/// Where a creation context may name a message: a destination under one of its names, and of one copy.
type Scope<'e> = (SpanContext, CopyMark, &'e str, &'e str);

/// Number of a [`CopiedFrom`]; 0 is that of messages which are no copies.
type CopyMark = usize;

impl Joined<'_> {
    /// The creation class of a context.
    pub fn resolve(&self, context: SpanContext) -> SpanContext {
        let mut context = context;
        for _ in 0..PARENT_STEPS_MAX {
            match self.aliases.get(&context) {
                Some(next) => context = *next,
                None => break,
            }
        }
        context
    }

    /// The events of a message in order of time, those it shares with others of its batch included.
    pub fn members(&self, message: usize) -> Vec<(usize, Join)> {
        let of = &self.messages[message];
        let mut members = of.members.clone();
        let shared = of.scopes.iter().filter_map(|scope| self.shared.get(scope)).flatten();
        for &index in shared {
            if !members.iter().any(|(known, _)| *known == index) {
                members.push((index, Join::Creation));
            }
        }
        members.sort_by_key(|&(index, _)| (self.events[index].start_ns, self.events[index].stage, index));
        members
    }

    /// The messages of an event: one, or those of the batch that it sent.
    pub fn messages_of(&self, index: usize) -> Vec<usize> {
        let event = &self.events[index];
        let of_batch = || {
            let class = self.resolve(event.creation?);
            let sends = matches!(event.stage, Stage::Create | Stage::Send);
            self.by_class.get(&class).filter(|_| sends).cloned()
        };
        self.message_of[index].map(|message| vec![message]).or_else(of_batch).unwrap_or_default()
    }

    /// How many events carry the context of this message and of others, and nothing that says which.
    pub fn undecided(&self, message: usize) -> usize {
        let of = self.messages[message].class.and_then(|class| self.undecided.get(&class));
        of.copied().unwrap_or_default()
    }
}
