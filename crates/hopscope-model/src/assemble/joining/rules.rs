//! The rules of joining, in the order in which they are applied.

use super::facts::{copied_from, is_commit, is_duplicate_publish, names_of, same_destination};
use super::few::{Few, note};
use super::{CopiedFrom, CopyMark, Joined, Message, PARENT_STEPS_MAX, Place, Scope};
use crate::{EventId, Join, MessageEvent, SpanContext, Stage};
use std::collections::{HashMap, HashSet};

/// Most messages that one span without link of its own may settle (a batch that is acknowledged as one).
const SHARED_SETTLE_MESSAGES_MAX: usize = 1_000;

/// Most ids of one message, and most names of its destination (subjects of a stream), that it is found by.
const NAMES_MAX: usize = 8;

const ORIGINAL: CopyMark = 0;
const ANY_COPY: CopyMark = usize::MAX;

/// Puts every event to its message.
pub(in crate::assemble) fn join(events: &[MessageEvent]) -> Joined<'_> {
    let mut joining = Joining::new(events);
    let (placed, rest): (Vec<usize>, Vec<usize>) =
        joining.order.clone().into_iter().partition(|&index| joining.place(index).is_some());
    joining.by_coordinates(&placed);
    joining.without_coordinates(&rest);
    joining.finish()
}

struct Joining<'e> {
    joined: Joined<'e>,
    /// Events that are of messages, each identity once, in order of time.
    order: Vec<usize>,
    class: Vec<Option<SpanContext>>,
    /// The one cluster known for (system, destination); `None` where there are several.
    clusters: HashMap<(&'e str, &'e str), Option<&'e str>>,
    marks: HashMap<CopiedFrom<'e>, CopyMark>,
    by_scope: HashMap<Scope<'e>, Few>,
    by_scope_id: HashMap<(Scope<'e>, &'e str), Few>,
    /// How many more events may be put to a message through their parent.
    shared_left: usize,
}

impl<'e> Joining<'e> {
    fn new(events: &'e [MessageEvent]) -> Self {
        let mut seen: HashSet<EventId> = HashSet::with_capacity(events.len());
        let mut order: Vec<(usize, EventId)> = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let id = event.id();
            if seen.insert(id) {
                order.push((index, id));
            }
        }
        order.sort_by_key(|&(index, id)| (events[index].start_ns, events[index].stage, id));
        let order: Vec<usize> = order.into_iter().map(|(index, _)| index).collect();

        let mut by_span: HashMap<SpanContext, Vec<usize>> = HashMap::new();
        let mut clusters: HashMap<(&str, &str), Option<&str>> = HashMap::new();
        for &index in &order {
            let event = &events[index];
            if let Some(context) = event.context() {
                by_span.entry(context).or_default().push(index);
            }
            if !event.cluster.is_empty() {
                let known = clusters
                    .entry((&event.system, &event.destination))
                    .or_insert(Some(event.cluster.as_str()));
                if *known != Some(event.cluster.as_str()) {
                    *known = None;
                }
            }
        }
        let joined = Joined {
            events,
            messages: Vec::new(),
            message_of: vec![None; events.len()],
            by_span,
            by_class: HashMap::new(),
            by_place: HashMap::new(),
            by_id: HashMap::new(),
            aliases: HashMap::new(),
            shared: HashMap::new(),
            undecided: HashMap::new(),
        };
        let mut joining = Self {
            joined,
            class: vec![None; events.len()],
            order,
            clusters,
            marks: HashMap::new(),
            by_scope: HashMap::new(),
            by_scope_id: HashMap::new(),
            shared_left: 4 * events.len() + 4 * SHARED_SETTLE_MESSAGES_MAX,
        };
        joining.find_aliases();
        for position in 0..joining.order.len() {
            let index = joining.order[position];
            joining.class[index] = joining.class_of(index);
        }
        joining.order.retain(|&index| events[index].stage != Stage::Work);
        joining
    }

    /// A Send whose message has a Create span is of the message that the Create span made.
    fn find_aliases(&mut self) {
        for &index in &self.order {
            let event = &self.joined.events[index];
            let (Stage::Send, Some(own)) = (event.stage, event.context()) else { continue };
            let alone = self.joined.by_span.get(&own).is_some_and(|events| events.len() == 1);
            if event.creation != Some(own) || !alone {
                continue;
            }
            let link = if let [link] = event.links[..] { Some(link) } else { None };
            let parent = SpanContext::new(event.trace, event.parent);
            let created = link.into_iter().chain(parent).find(|context| {
                let events = self.joined.by_span.get(context).into_iter().flatten();
                let mut creates = events.map(|&at| &self.joined.events[at]);
                creates.any(|create| create.stage == Stage::Create && same_destination(create, event))
            });
            if let Some(created) = created.filter(|created| *created != own) {
                self.joined.aliases.insert(own, created);
            }
        }
    }

    /// The creation context by which an event is compared with others. Some consumers give the receive span
    /// as the origin of what they process: then it is that of the receive span.
    fn class_of(&self, index: usize) -> Option<SpanContext> {
        let mut event = &self.joined.events[index];
        let mut creation = self.joined.resolve(event.creation?);
        for _ in 0..PARENT_STEPS_MAX {
            if matches!(event.stage, Stage::Create | Stage::Send) {
                break;
            }
            let of_span = self.joined.by_span.get(&creation).map(Vec::as_slice).unwrap_or_default();
            let [only] = of_span else { break };
            let before = &self.joined.events[*only];
            let received = matches!(before.stage, Stage::Receive | Stage::Process);
            let same_place = same_destination(before, event)
                && (before.position.is_none()
                    || event.position.is_none()
                    || before.position == event.position);
            if !received || !same_place || std::ptr::eq(before, event) {
                break;
            }
            creation = self.joined.resolve(before.creation?);
            event = before;
        }
        Some(creation)
    }

    fn cluster(&self, event: &'e MessageEvent) -> &'e str {
        if event.cluster.is_empty() {
            let known = self.clusters.get(&(event.system.as_str(), event.destination.as_str()));
            return known.copied().flatten().unwrap_or_default();
        }
        &event.cluster
    }

    /// The coordinates of an event. A cumulative commit has none: its position is where the group stands.
    fn place(&self, index: usize) -> Option<Place<'e>> {
        let event = &self.joined.events[index];
        if event.destination.is_empty() || is_commit(event) {
            return None;
        }
        Some(Place {
            system: &event.system,
            cluster: self.cluster(event),
            destination: &event.destination,
            lane: &event.lane,
            position: event.position?,
        })
    }

    fn mark(&mut self, copied_from: Option<CopiedFrom<'e>>) -> CopyMark {
        let Some(copied_from) = copied_from else { return ORIGINAL };
        let next = self.marks.len() + 1;
        *self.marks.entry(copied_from).or_insert(next)
    }

    fn by_coordinates(&mut self, placed: &[usize]) {
        let mut places: Vec<Place<'e>> = Vec::new();
        let mut groups: HashMap<Place<'e>, Vec<usize>> = HashMap::new();
        for &index in placed {
            let Some(place) = self.place(index) else { continue };
            let group = groups.entry(place).or_default();
            if group.is_empty() {
                places.push(place);
            }
            group.push(index);
        }
        let mut copies = Vec::new();
        for place in places {
            let members = groups.remove(&place).unwrap_or_default();
            let messages = self.split_place(place, &members);
            if messages.len() > 1 {
                for &message in &messages {
                    self.joined.messages[message].reused = true;
                }
            }
            copies.extend(messages.iter().copied());
            self.joined.by_place.insert(place, messages);
        }
        copies.into_iter().for_each(|message| self.register(message));
    }

    /// The messages at one place: one, unless its events have different creation contexts (or, without
    /// contexts, different ids): then a topic was made anew.
    fn split_place(&mut self, place: Place<'e>, members: &[usize]) -> Vec<usize> {
        let events = self.joined.events;
        let mut messages: Vec<usize> = Vec::new();
        let mut by_class: HashMap<SpanContext, usize> = HashMap::new();
        let mut by_id: HashMap<&'e str, Few> = HashMap::new();
        let decides = |index: usize| !is_duplicate_publish(&events[index]);
        for &index in members {
            let Some(class) = self.class[index].filter(|_| decides(index)) else { continue };
            let message = *by_class.entry(class).or_insert_with(|| {
                messages.push(self.joined.messages.len());
                self.new_message(place, Some(class))
            });
            self.add(message, index, Join::Coordinates);
            note(&mut by_id, &events[index].message_id, message);
        }
        let without_class = members.iter().filter(|&&index| self.class[index].is_none() || !decides(index));
        let (named, nameless): (Vec<&usize>, Vec<&usize>) =
            without_class.partition(|&&index| !events[index].message_id.is_empty());
        for &index in named.into_iter().chain(nameless) {
            let id = events[index].message_id.as_str();
            let fits = |message: usize| {
                id.is_empty() || self.joined.messages[message].ids.iter().all(|known| *known == id)
            };
            let known = by_id.get(id).map(|few| few.only());
            let message = match (known, &messages[..]) {
                (Some(Some(message)), _) => message,
                (None, &[only]) if fits(only) => only,
                (Some(None), _) => continue,
                (None, [_, _, ..]) if id.is_empty() => continue,
                (None, _) => {
                    messages.push(self.joined.messages.len());
                    self.new_message(place, None)
                }
            };
            self.add(message, index, Join::Coordinates);
            note(&mut by_id, id, message);
        }
        messages
    }

    fn new_message(&mut self, place: Place<'e>, class: Option<SpanContext>) -> usize {
        self.joined.messages.push(Message {
            system: place.system,
            cluster: place.cluster,
            destination: place.destination,
            lane: place.lane,
            position: Some(place.position),
            class,
            ..Message::default()
        });
        self.joined.messages.len() - 1
    }

    fn add(&mut self, message: usize, index: usize, by: Join) {
        let event = &self.joined.events[index];
        let cluster = self.cluster(event);
        let of = &mut self.joined.messages[message];
        of.members.push((index, by));
        let id = event.message_id.as_str();
        if !id.is_empty() && of.ids.len() < NAMES_MAX && !of.ids.contains(&id) {
            of.ids.push(id);
            of.registered = false;
        }
        for name in names_of(event).filter(|name| !name.is_empty()) {
            if of.names.len() < NAMES_MAX && !of.names.contains(&name) {
                of.names.push(name);
                of.registered = false;
            }
        }
        if of.destination.is_empty() {
            (of.system, of.cluster, of.destination) = (&event.system, cluster, &event.destination);
        }
        if of.copied_from.is_none() {
            of.copied_from = copied_from(event);
        }
        self.joined.message_of[index] = Some(message);
    }

    /// Makes a message findable by its context and id, under every name of its destination.
    fn register(&mut self, message: usize) {
        let of = &mut self.joined.messages[message];
        if std::mem::replace(&mut of.registered, true) {
            return;
        }
        let copied_from = of.copied_from.clone();
        let (system, destination, class) = (of.system, of.destination, of.class);
        let (names, ids) = (of.names.clone(), of.ids.clone());
        let mark = self.mark(copied_from);
        for id in &ids {
            push_new(self.joined.by_id.entry((system, destination, id)).or_default(), message);
        }
        let Some(class) = class else { return };
        push_new(self.joined.by_class.entry(class).or_default(), message);
        for name in names.into_iter().chain([""]) {
            for mark in [mark, ANY_COPY] {
                let scope = (class, mark, system, name);
                note(&mut self.by_scope, scope, message);
                for id in &ids {
                    note(&mut self.by_scope_id, (scope, *id), message);
                }
                let scopes = &mut self.joined.messages[message].scopes;
                if mark != ANY_COPY && !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
        }
    }

    fn without_coordinates(&mut self, rest: &[usize]) {
        let events = self.joined.events;
        // First what says most of itself: a later one finds the messages that the earlier made.
        let mut by_parent = Vec::new();
        let mut steps: [Vec<usize>; 4] = Default::default();
        for &index in rest {
            let event = &events[index];
            if self.parent_event(index).is_some() {
                by_parent.push(index);
                continue;
            }
            let step = match (
                self.class[index].is_some(),
                event.message_id.is_empty(),
                event.destination.is_empty(),
            ) {
                (true, false, false) => 0,
                (true, true, false) => 1,
                (true, _, true) => 2,
                (false, false, _) => 3,
                (false, true, _) => continue,
            };
            steps[step].push(index);
        }
        let [with_id, with_class, nowhere, only_id] = steps;
        for index in with_id.into_iter().chain(with_class).chain(nowhere) {
            self.by_creation(index);
        }
        for index in only_id {
            self.by_message_id(index);
        }
        for index in by_parent {
            self.by_parent(index);
        }
    }

    /// By the creation context, as long as it names one message here.
    fn by_creation(&mut self, index: usize) {
        let event = &self.joined.events[index];
        let Some(class) = self.class[index] else { return };
        let mark = self.mark(copied_from(event));
        let sends = matches!(event.stage, Stage::Create | Stage::Send);
        let id = event.message_id.as_str();
        for mark in [mark, ANY_COPY] {
            // A consumer may leave out what the headers say of the original; a sender has nothing to leave out.
            if mark == ANY_COPY && (sends || copied_from(event).is_some()) {
                continue;
            }
            for name in names_of(event) {
                let scope = (class, mark, event.system.as_str(), name);
                if let Some(found) = self.by_scope_id.get(&(scope, id)).and_then(|few| few.only()) {
                    return self.add_and_register(found, index, Join::MessageId);
                }
                let Some(few) = self.by_scope.get(&scope) else { continue };
                let Some(only) = few.only() else {
                    if !id.is_empty() {
                        continue;
                    }
                    if sends {
                        self.joined.shared.entry(scope).or_default().push(index);
                    } else {
                        *self.joined.undecided.entry(class).or_default() += 1;
                    }
                    return;
                };
                let of = &self.joined.messages[only];
                let cluster = self.cluster(event);
                let same_cluster = cluster.is_empty() || of.cluster.is_empty() || cluster == of.cluster;
                if same_cluster && (id.is_empty() || of.ids.is_empty() || of.ids.contains(&id)) {
                    return self.add_and_register(only, index, Join::Creation);
                }
            }
        }
        let message = self.joined.messages.len();
        self.joined.messages.push(Message {
            system: &event.system,
            cluster: self.cluster(event),
            destination: &event.destination,
            class: Some(class),
            ..Message::default()
        });
        self.add_and_register(message, index, Join::Creation);
    }

    fn by_message_id(&mut self, index: usize) {
        let event = &self.joined.events[index];
        let key = (event.system.as_str(), event.destination.as_str(), event.message_id.as_str());
        match self.joined.by_id.get(&key).map(Vec::as_slice) {
            Some(&[only]) => self.add_and_register(only, index, Join::MessageId),
            Some([_, _, ..]) => {}
            _ => {
                let message = self.joined.messages.len();
                self.joined.messages.push(Message {
                    system: &event.system,
                    cluster: self.cluster(event),
                    destination: &event.destination,
                    ..Message::default()
                });
                self.add_and_register(message, index, Join::MessageId);
            }
        }
    }

    fn add_and_register(&mut self, message: usize, index: usize, by: Join) {
        self.add(message, index, by);
        self.register(message);
    }

    /// The events of the span above that this one may be a part of.
    fn parent_event(&self, index: usize) -> Option<Vec<usize>> {
        let event = &self.joined.events[index];
        if !matches!(event.stage, Stage::Process | Stage::Settle) {
            return None;
        }
        let parent = SpanContext::new(event.trace, event.parent)?;
        let all = self.joined.by_span.get(&parent)?.iter().copied().take(SHARED_SETTLE_MESSAGES_MAX);
        let above = all.filter(|&above| {
            let parent = &self.joined.events[above];
            let class = self.class[index].is_none()
                || self.class[above].is_none()
                || self.class[index] == self.class[above];
            let id = event.message_id.is_empty()
                || parent.message_id.is_empty()
                || event.message_id == parent.message_id;
            let lane = event.lane.is_empty() || parent.lane.is_empty() || event.lane == parent.lane;
            matches!(parent.stage, Stage::Receive | Stage::Process)
                && parent.stage < event.stage
                && class
                && id
                && lane
                && same_destination(parent, event)
        });
        let above: Vec<usize> = above.collect();
        // Only what does not say which message it means settles all of a batch.
        let says = self.class[index].is_some() || !event.message_id.is_empty() || event.position.is_some();
        let several = above.len() > 1 && (says || event.stage != Stage::Settle);
        (!above.is_empty() && !several).then_some(above)
    }

    /// By the span above: a Settle span without link, or a Process span below its Receive.
    fn by_parent(&mut self, index: usize) {
        for above in self.parent_event(index).unwrap_or_default() {
            let mut found = self.joined.message_of[above];
            let mut at = above;
            for _ in 0..PARENT_STEPS_MAX {
                if found.is_some() {
                    break;
                }
                let Some(&[next]) = self.parent_event(at).as_deref() else { break };
                found = self.joined.message_of[next];
                at = next;
            }
            if let Some(message) = found
                && self.shared_left > 0
                && self.joined.messages[message].members.last() != Some(&(index, Join::Parent))
            {
                self.shared_left -= 1;
                self.add_and_register(message, index, Join::Parent);
            }
        }
    }

    fn finish(mut self) -> Joined<'e> {
        let events = self.joined.events;
        for message in &mut self.joined.messages {
            message.members.sort_by_key(|&(index, _)| (events[index].start_ns, events[index].stage, index));
        }
        self.joined
    }
}

/// Messages are registered in turn, and again when they learn a name: what is there twice is near the end.
fn push_new(messages: &mut Vec<usize>, message: usize) {
    if !messages.iter().rev().take(4 * NAMES_MAX).any(|known| *known == message) {
        messages.push(message);
    }
}
