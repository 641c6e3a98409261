//! [`Keep`]: what goes wrong is kept, although the head of the trace said no.
//!
//! A step that is not sampled leaves its record in a small ring. When a step of the same trace fails, is retried,
//! dead-lettered or slow in this process, the ring's records of that trace are exported with it: what the producer
//! side did, as long as the ring still has it. The header's flag stays as it was: nobody else is told a lie.

use crate::record::Record;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is kept although the head decision was no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// A step that failed.
    pub failed: bool,
    /// A message in its second or a later attempt.
    pub retried: bool,
    /// A message that was given up, or that is a dead letter.
    pub dead_lettered: bool,
    /// A send, process or settle that took longer; `None`: never for that.
    pub slower_than: Option<Duration>,
    /// Of the commits of a group on a lane (Kafka partition, JetStream consumer, RocketMQ queue), the last one in a second:
    /// without them nobody could tell what has not been consumed yet.
    pub progress: bool,
    /// Records of steps that are remembered until it is known how they ended. About 500 bytes each.
    pub ring_records_max: usize,
    /// At most that many records a second are exported for one of these reasons, so that a broken service does not
    /// pay for full tracing.
    pub records_per_second_max: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            failed: true,
            retried: true,
            dead_lettered: true,
            slower_than: Some(Duration::from_secs(1)),
            progress: true,
            ring_records_max: 4096,
            records_per_second_max: 1000,
        }
    }
}

impl Keep {
    /// Keeps nothing that the head did not.
    pub const NOTHING: Self = Self {
        failed: false,
        retried: false,
        dead_lettered: false,
        slower_than: None,
        progress: false,
        ring_records_max: 0,
        records_per_second_max: 0,
    };

    /// Why this record is kept: `hopscope.kept`.
    pub(crate) fn reason(&self, record: &Record) -> Option<&'static str> {
        if self.failed && record.has_failed() {
            return Some("failed");
        }
        if self.dead_lettered && record.is_dead_letter() {
            return Some("dead_lettered");
        }
        if self.retried && record.attempt().is_some_and(|attempt| attempt > 1) {
            return Some("retried");
        }
        let is_slow = |limit: Duration| record.duration() > limit;
        self.slower_than.is_some_and(is_slow).then_some("slow")
    }
}

/// The records of steps that were not sampled.
#[derive(Debug)]
pub(crate) struct Ring {
    keep: Keep,
    shards: [Mutex<Shard>; SHARDS],
    /// Traces of which something was kept a short while ago, by the low bits of their id: what follows is kept too.
    traces: [AtomicU64; TRACES],
    /// The second, and how many records were kept in it.
    budget: Mutex<(u64, u32)>,
}

/// Threads that end steps at the same time should not meet.
const SHARDS: usize = 8;

/// Remembered traces; a power of two.
const TRACES: usize = 1024;

/// Records, oldest first; the ids stand apart so that a search reads little memory.
#[derive(Debug, Default)]
struct Shard {
    traces: VecDeque<u64>,
    records: VecDeque<Option<Box<Record>>>,
}

impl Ring {
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            shards: std::array::from_fn(|_| Mutex::default()),
            traces: std::array::from_fn(|_| AtomicU64::new(0)),
            budget: Mutex::default(),
        }
    }

    /// Whether a record would be kept whatever the head said: such a one is dropped last.
    pub fn matters(&self, record: &Record) -> bool {
        self.keep.reason(record).is_some()
    }

    /// What becomes of a record that was not sampled: calls `export` with it and with everything of its trace where
    /// something went wrong, else holds it for a while.
    pub fn settle(&self, record: Box<Record>, export: &mut dyn FnMut(&Record, &'static str)) {
        let trace = record.trace();
        let reason = self.keep.reason(&record);
        let reason = reason.or_else(|| self.is_kept(trace).then_some("trace"));
        let Some(reason) = reason else { return self.hold(record) };
        if !self.has_budget(record.end_ns()) {
            return;
        }
        self.remember(trace);
        for linked in record.linked_traces() {
            self.remember(linked);
            self.take(linked, &mut |held| export(held, reason));
        }
        self.take(trace, &mut |held| export(held, reason));
        export(&record, reason);
    }

    fn hold(&self, record: Box<Record>) {
        let per_shard = self.keep.ring_records_max / SHARDS;
        if per_shard == 0 {
            return record.spare();
        }
        let mut shard = lock(&self.shards[shard_of_thread()]);
        let oldest = if shard.records.len() >= per_shard {
            shard.traces.pop_front();
            shard.records.pop_front()
        } else {
            None
        };
        shard.traces.push_back(low_bits(record.trace()));
        shard.records.push_back(Some(record));
        drop(shard);
        if let Some(Some(oldest)) = oldest {
            oldest.spare();
        }
    }

    /// Gives out the records of that trace, oldest first in each shard.
    fn take(&self, trace: TraceId, each: &mut dyn FnMut(&Record)) {
        let wanted = low_bits(trace);
        let mut taken = Vec::new();
        for shard in &self.shards {
            let shard = &mut *lock(shard);
            for (held, record) in shard.traces.iter_mut().zip(&mut shard.records) {
                if *held == wanted && record.as_ref().is_some_and(|record| record.trace() == trace) {
                    taken.extend(record.take());
                    *held = 0;
                }
            }
        }
        taken.sort_by_key(|record| record.start_ns());
        taken.iter().for_each(|record| each(record));
    }

    fn is_kept(&self, trace: TraceId) -> bool {
        let id = low_bits(trace);
        self.traces[id as usize % TRACES].load(Ordering::Relaxed) == id
    }

    fn remember(&self, trace: TraceId) {
        let id = low_bits(trace);
        self.traces[id as usize % TRACES].store(id, Ordering::Relaxed);
    }

    fn has_budget(&self, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.0 != second {
            *budget = (second, 0);
        }
        budget.1 = budget.1.saturating_add(1);
        budget.1 <= self.keep.records_per_second_max
    }
}

fn low_bits(trace: TraceId) -> u64 {
    u128::from_be_bytes(trace.to_bytes()) as u64
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // No code under this lock can leave it half-changed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shard_of_thread() -> usize {
    thread_local! {
        static SHARD: usize = usize::from(RandomIdGenerator::default().new_span_id().to_bytes()[7]) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}
