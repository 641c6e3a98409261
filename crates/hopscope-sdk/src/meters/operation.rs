//! [`Operation`]: the series of one word of a client on one lane, by how it ended.

use super::lane::Maker;
use super::series::{Count, Spread};
use super::table::{Counted, Distribution};
use opentelemetry::KeyValue;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What an operation does: `messaging.operation.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationType {
    /// Messages are given to the broker.
    Send,
    /// Messages are handed to the application.
    Receive,
    /// A handler works.
    Process,
    /// The broker is told how it ended.
    Settle,
}

/// How an operation, or one message of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// Well.
    Ok,
    /// With that `error.type`, of few values.
    Failed(&'a str),
    /// Nobody said: fire-and-forget, a cancelled future, a partition that was taken away. It is no error, and is not
    /// called well either: `hopscope.outcome` is `unknown`.
    Unknown,
}

impl OperationType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle => "settle",
        }
    }

    pub(super) fn duration(self) -> Distribution {
        if self == Self::Process { Distribution::ProcessDuration } else { Distribution::OperationDuration }
    }

    /// What counts its messages, where something does.
    pub(super) fn messages(self) -> Option<Counted> {
        match self {
            Self::Send => Some(Counted::Sent),
            Self::Receive => Some(Counted::Consumed),
            Self::Process | Self::Settle => None,
        }
    }
}

/// Operations are a list that only grows: there are one to eight of them on a lane, and reading it takes no lock.
#[derive(Debug)]
pub(super) struct Operation {
    pub kind: OperationType,
    pub name: &'static str,
    well: OnceLock<Points>,
    unknown: OnceLock<Points>,
    failed: Mutex<Vec<(Box<str>, Points)>>,
    pub next: OnceLock<Box<Operation>>,
}

/// The series of one way to end.
#[derive(Debug)]
pub(super) struct Points {
    pub duration: Spread,
    /// None where nothing counts messages.
    pub messages: Option<Count>,
}

impl Points {
    pub fn add(&self, messages: u64) {
        if let Some(count) = &self.messages {
            count.add(messages);
        }
    }
}

/// More words than that are [`OTHER`] on a lane.
pub(super) const OPERATIONS_MAX: usize = 16;

/// The conventions' word for values that are not listed.
const OTHER: &str = "_OTHER";

impl Operation {
    /// The operation in that list, which is added where it is new.
    pub fn find<'a>(
        list: &'a OnceLock<Box<Operation>>,
        kind: OperationType,
        mut name: &'static str,
    ) -> &'a Operation {
        let mut slot = list;
        let mut passed = 0;
        loop {
            if passed == OPERATIONS_MAX {
                name = OTHER;
            }
            // Another thread may have put another one there in this moment: then the search goes on behind it.
            let found = slot.get_or_init(|| Box::new(Self::new(kind, name)));
            if found.kind == kind && found.name == name {
                return found;
            }
            slot = &found.next;
            passed += 1;
        }
    }

    fn new(kind: OperationType, name: &'static str) -> Self {
        Self {
            kind,
            name,
            well: OnceLock::new(),
            unknown: OnceLock::new(),
            failed: Mutex::default(),
            next: OnceLock::new(),
        }
    }

    /// Records on the series of that way to end.
    pub fn with(&self, maker: Maker<'_>, ending: Ending<'_>, record: impl FnOnce(&Points)) {
        match ending {
            Ending::Ok => record(self.well.get_or_init(|| self.points(maker, ending))),
            Ending::Unknown => record(self.unknown.get_or_init(|| self.points(maker, ending))),
            Ending::Failed(error) => self.with_failed(maker, error, record),
        }
    }

    #[cold]
    fn with_failed(&self, maker: Maker<'_>, error: &str, record: impl FnOnce(&Points)) {
        let error = &error[..error.floor_char_boundary(maker.limits.value_bytes_max)];
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = failed.len() >= maker.limits.error_types_max;
        let known = |wanted: &str| failed.iter().position(|(known, _)| **known == *wanted);
        let (error, found) = match known(error) {
            None if is_full || error.is_empty() => (OTHER, known(OTHER)),
            found => (error, found),
        };
        let index = found.unwrap_or_else(|| {
            failed.push((error.into(), self.points(maker, Ending::Failed(error))));
            failed.len() - 1
        });
        record(&failed[index].1);
    }

    /// The series of each way that it ended.
    pub fn each(&self, mut read: impl FnMut(Ending<'_>, &Points)) {
        for (ending, points) in [(Ending::Ok, &self.well), (Ending::Unknown, &self.unknown)] {
            if let Some(points) = points.get() {
                read(ending, points);
            }
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.iter().for_each(|(error, points)| read(Ending::Failed(error), points));
    }

    fn points(&self, maker: Maker<'_>, ending: Ending<'_>) -> Points {
        let (timed, counted) = self.attributes(ending);
        Points {
            duration: maker.spread(self.kind.duration(), &timed),
            messages: self.kind.messages().map(|measure| maker.count(measure, &counted)),
        }
    }

    /// What the series of this operation have beside their lane's attributes: that of the duration, and that of the
    /// messages.
    pub fn attributes(&self, ending: Ending<'_>) -> (Vec<KeyValue>, Vec<KeyValue>) {
        let name = KeyValue::new("messaging.operation.name", self.name);
        let mut timed = vec![name.clone()];
        if self.kind != OperationType::Process {
            timed.push(KeyValue::new("messaging.operation.type", self.kind.name()));
        }
        let mut counted = vec![name];
        let ended = match ending {
            Ending::Ok => None,
            Ending::Failed(error) => Some(KeyValue::new("error.type", error.to_owned())),
            Ending::Unknown => Some(KeyValue::new("hopscope.outcome", "unknown")),
        };
        timed.extend(ended.clone());
        counted.extend(ended);
        (timed, counted)
    }
}
