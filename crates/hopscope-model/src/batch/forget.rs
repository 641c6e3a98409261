//! Dropping attributes, and making sure that nothing dropped is left in the bytes of a batch.

use super::{Batch, Cell, Lists, OutcomeCode};
use crate::{Disposition, Grade, SpanContext, SpanId, Stage, Text, Texts, TraceId};

/// What may hold a [`Text`].
pub(super) trait Names {
    fn rename(&mut self, f: &mut impl FnMut(&mut Text));
}

impl Names for Text {
    fn rename(&mut self, f: &mut impl FnMut(&mut Text)) {
        f(self);
    }
}

impl Names for Cell {
    fn rename(&mut self, f: &mut impl FnMut(&mut Text)) {
        match self {
            Self::Text(text) | Self::Bytes(text) | Self::Json(text) => f(text),
            Self::Int(_) | Self::Double(_) | Self::Bool(_) => {}
        }
    }
}

macro_rules! names_nothing {
    ($($ty:ty),*) => {$(
        impl Names for $ty {
            fn rename(&mut self, _: &mut impl FnMut(&mut Text)) {}
        }
    )*};
}
names_nothing!(Stage, TraceId, SpanId, SpanContext, i64, u32, OutcomeCode, Option<Disposition>, Grade);

impl<T: Copy> Lists<T> {
    fn retain_items(&mut self, mut keep: impl FnMut(&T) -> bool) -> bool {
        let before = self.items.len();
        let mut kept = Self::default();
        for index in 0..self.ends.len() {
            kept.items.extend(self.get(index).iter().filter(|item| keep(item)));
            kept.ends.push(kept.items.len() as u32);
        }
        *self = kept;
        self.items.len() != before
    }
}

impl Batch {
    /// Keeps the attributes, of events and of resources, for which `keep(name, value, texts)` says so. True
    /// when one was dropped. Its strings stay in the batch until [`Batch::forget_unused`].
    pub fn retain_attributes(&mut self, mut keep: impl FnMut(&str, Cell, &Texts) -> bool) -> bool {
        let Self { texts, attributes, resources, .. } = self;
        let mut keep = |(name, cell): &(Text, Cell)| keep(texts.get(*name), *cell, texts);
        // Both, not either: `|` does not stop at the first.
        attributes.retain_items(&mut keep) | resources.retain_items(&mut keep)
    }

    /// Forgets the strings that nothing names any more: what was dropped or rewritten is then in no byte of
    /// the batch, so that it cannot reach a disk.
    pub fn forget_unused(&mut self) {
        let Self { texts, columns, keys, attributes, resources, progress, tallies, .. } = self;
        let old = std::mem::take(texts);
        let mut renamed: Vec<Option<Text>> = vec![None; old.len()];
        let mut rename = |text: &mut Text| {
            let Some(slot) = renamed.get_mut(text.index()) else { return };
            *text = *slot.get_or_insert_with(|| texts.intern(old.get(*text)));
        };
        columns.rename(&mut rename);
        keys.items.iter_mut().for_each(&mut rename);
        for (name, cell) in attributes.items.iter_mut().chain(&mut resources.items) {
            rename(name);
            cell.rename(&mut rename);
        }
        for row in progress {
            let names = [&mut row.system, &mut row.cluster, &mut row.server, &mut row.destination];
            names.into_iter().for_each(&mut rename);
            [&mut row.lane, &mut row.group, &mut row.service].into_iter().for_each(&mut rename);
        }
        tallies.iter_mut().for_each(|row| row.each_text(&mut rename));
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        BatchBuilder, Cell, Grade, MessageEvent, Outcome, Progress, ProgressKind, Source, Stage, Tenant,
        Value,
    };

    fn batch() -> crate::Batch {
        let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 1);
        let text = |text: &str| Value::Text(text.to_owned());
        builder.push_event(&MessageEvent {
            system: "kafka".into(),
            destination: "orders".into(),
            keys: vec!["4711".into()],
            outcome: Outcome::Failed { reason: "timeout".into() },
            attributes: vec![("user.email".into(), text("a@b.c")), ("order".into(), text("orders"))],
            ..MessageEvent::new(Stage::Send)
        });
        builder.push_event(&MessageEvent {
            attributes: vec![("n".into(), Value::Int(1)), ("user.email".into(), text("d@e.f"))],
            ..MessageEvent::new(Stage::Work)
        });
        builder.push_progress_owned(&Progress {
            system: "kafka".into(),
            cluster: String::new(),
            destination: "orders".into(),
            lane: "0".into(),
            group: "payment".into(),
            kind: ProgressKind::Floor { next: 3 },
            at_ns: 1,
            service: "payment".into(),
            grade: Grade::Observed,
        });
        builder.finish()
    }

    #[test]
    fn what_is_dropped_is_in_no_byte_and_the_rest_is_as_it_was() {
        let before = batch();
        let mut after = before.clone();
        assert!(after.retain_attributes(|name, cell, texts| {
            assert!(!matches!(cell, Cell::Text(text) if texts.get(text).is_empty()));
            name != "user.email"
        }));
        after.forget_unused();
        let strings = format!("{after:?}");
        assert!(!strings.contains("a@b.c") && !strings.contains("user.email"), "{strings}");
        let without = |mut event: MessageEvent| {
            event.attributes.retain(|(name, _)| name != "user.email");
            event
        };
        let wanted: Vec<_> = before.events().map(|event| without(event.to_owned())).collect();
        assert_eq!(after.events().map(|event| event.to_owned()).collect::<Vec<_>>(), wanted);
        assert_eq!(after.progress_owned().collect::<Vec<_>>(), before.progress_owned().collect::<Vec<_>>());
        assert!(!after.retain_attributes(|_, _, _| true), "nothing left to drop");
    }
}
