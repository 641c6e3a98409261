//! [`Live`]: tells whoever looks at a page what has just become durable. Nothing waits for a slow listener:
//! one that falls behind is told to reload.

use hopscope_model::Batch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::broadcast;

/// Most names in one note.
pub const NAMES_MAX: usize = 100;
/// Notes that a listener may be behind.
const NOTES_MAX: usize = 64;

/// What one batch was about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Traces, 32 hex digits each.
    pub trace_ids: Vec<String>,
    /// Destinations.
    pub destinations: Vec<String>,
    /// True when a list was cut.
    pub cut: bool,
}

/// One hub a server.
#[derive(Debug)]
pub struct Live {
    notes: broadcast::Sender<Arc<Note>>,
    events: AtomicU64,
}

impl Default for Live {
    fn default() -> Self {
        Self { notes: broadcast::channel(NOTES_MAX).0, events: AtomicU64::new(0) }
    }
}

impl Live {
    /// What to say about a batch; `None` while nobody listens, which is nearly always: notes cost time.
    pub fn note(&self, batch: &Batch) -> Option<Note> {
        (self.notes.receiver_count() > 0).then(|| note_of(batch))
    }

    /// That batch became durable, with that many new events and tallies.
    pub fn stored(&self, events: u64, tallies: u64, note: Option<Note>) {
        self.events.fetch_add(events, Ordering::Relaxed);
        if let Some(note) = note.filter(|_| events + tallies > 0) {
            // Without listeners there is nobody to miss it.
            let _ = self.notes.send(Arc::new(note));
        }
    }

    /// Events since the start.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Note>> {
        self.notes.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.notes.receiver_count()
    }
}

fn note_of(batch: &Batch) -> Note {
    let mut note = Note::default();
    for event in batch.events() {
        let trace = event.trace();
        if !trace.is_zero() {
            note.add_trace(&trace.to_string());
        }
        note.add_destination(event.destination());
        if note.cut {
            break;
        }
    }
    for row in batch.tallies() {
        note.add_destination(batch.texts().get(row.destination));
    }
    note
}

impl Note {
    /// Both notes as one.
    pub fn add(&mut self, other: &Self) {
        self.cut |= other.cut;
        other.trace_ids.iter().for_each(|trace| self.add_trace(trace));
        other.destinations.iter().for_each(|destination| self.add_destination(destination));
    }

    fn add_trace(&mut self, trace: &str) {
        self.cut |= add(&mut self.trace_ids, trace);
    }

    fn add_destination(&mut self, destination: &str) {
        self.cut |= add(&mut self.destinations, destination);
    }
}

/// Adds a name once; true when there was no room for it.
fn add(names: &mut Vec<String>, name: &str) -> bool {
    if name.is_empty() || names.iter().any(|known| known == name) {
        return false;
    }
    let full = names.len() >= NAMES_MAX;
    if !full {
        names.push(name.to_owned());
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_once_and_at_most_a_hundred() {
        let mut note = Note::default();
        (0..NAMES_MAX).for_each(|n| note.add_trace(&n.to_string()));
        note.add_trace("7");
        assert!(!note.cut);
        let mut all = Note::default();
        all.add(&note);
        all.add(&Note { trace_ids: vec!["more".into()], ..Note::default() });
        assert!(all.cut && all.trace_ids.len() == NAMES_MAX);
    }
}
