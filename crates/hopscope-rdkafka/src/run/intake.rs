//! Messages on their way from the client to the workers, and what is known of their offsets: [`Intake`].

use super::attend::{Attended, REVOKED};
use super::{Options, Received, RunError};
use crate::RetryTopic;
use crate::consumer::OnRevoke;
use hopscope_sdk::Outcome;
use hopscope_sdk::work::{End, Ended, InFlight, Offsets, Slot, Workers};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// A message that has been received, and is not finished.
pub(super) struct Item {
    pub message: Received,
    pub in_flight: InFlight,
}

/// What one handler call is about: messages of one lane.
pub(super) type Job = Vec<Item>;

/// What is shared by the loop that receives, the workers' ends, and rebalance callbacks.
pub(super) struct Intake {
    state: Mutex<State>,
    /// Something ended.
    pub woken: Notify,
    batch_max: usize,
    batch_wait: Duration,
    retry_topic: Option<String>,
}

#[derive(Default)]
struct State {
    offsets: Offsets<Lane>,
    /// Without room yet, in their order.
    held: VecDeque<(Lane, Job)>,
    /// Batches that fill.
    forming: HashMap<Lane, (Instant, Job)>,
    /// Not due yet; their lanes are paused.
    delayed: Vec<(Instant, Lane, Item)>,
    stop: Option<RunError>,
}

/// What a received message needs of the loop.
pub(super) enum Taken {
    Ready,
    /// Its lane is to be paused.
    Delayed(Lane),
}

impl Intake {
    pub fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            woken: Notify::new(),
            batch_max: options.batch_max.max(1),
            batch_wait: options.batch_wait,
            retry_topic: options.retry.as_ref().map(|retry| retry.topic().to_owned()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was received.
    pub fn take(&self, lane: Lane, message: Received) -> Taken {
        let is_retry = self.retry_topic.as_deref() == Some(&*lane.topic);
        let wait = if is_retry { RetryTopic::due_in(message.message()) } else { Duration::ZERO };
        let mut state = self.lock();
        let in_flight = state.offsets.started(lane.clone(), message.message().offset());
        let item = Item { message, in_flight };
        // Behind one that is not due, all wait.
        let is_behind = state.delayed.iter().any(|(_, delayed, _)| *delayed == lane);
        if wait.is_zero() && !is_behind {
            state.admit(lane, item, self);
            return Taken::Ready;
        }
        state.delayed.push((Instant::now() + wait, lane.clone(), item));
        Taken::Delayed(lane)
    }

    /// Moves on what is due, or has waited long enough to be a batch. Lanes that wait no longer.
    pub fn advance(&self) -> Vec<Lane> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut freed = Vec::new();
        while let Some(at) =
            state.delayed.iter().position(|(due, lane, _)| *due <= now && !freed.contains(lane))
        {
            // The first of its lane, in their order.
            let lane = state.delayed[at].1.clone();
            let first = state.delayed.iter().position(|(_, of, _)| *of == lane).unwrap_or(at);
            if state.delayed[first].0 > now {
                freed.push(lane);
                continue;
            }
            let (_, lane, item) = state.delayed.remove(first);
            if !state.delayed.iter().any(|(_, of, _)| *of == lane) {
                freed.push(lane.clone());
            }
            state.admit(lane, item, self);
        }
        let full: Vec<Lane> = state
            .forming
            .iter()
            .filter(|(_, (since, _))| since.elapsed() >= self.batch_wait)
            .map(|(lane, _)| lane.clone())
            .collect();
        for lane in full {
            if let Some((_, job)) = state.forming.remove(&lane) {
                state.held.push_back((lane, job));
            }
        }
        freed
    }

    /// When [`advance`](Self::advance) has something to do.
    pub fn next_at(&self) -> Option<Instant> {
        let state = self.lock();
        let forming = state.forming.values().map(|(since, _)| *since + self.batch_wait);
        let delayed = state.delayed.iter().map(|(due, ..)| *due);
        forming.chain(delayed).min()
    }

    /// Lanes that must stay paused.
    pub fn delayed(&self) -> Vec<Lane> {
        self.lock().delayed.iter().map(|(_, lane, _)| lane.clone()).collect()
    }

    /// Gives the workers what they have room for; true where something is left.
    pub fn hand_over(&self, workers: &Workers<Lane, Job>) -> bool {
        loop {
            let Some((lane, job)) = self.lock().held.pop_front() else { return false };
            let Some(first) = job.first() else { continue };
            let mut slot = Slot::new(lane.clone(), first.in_flight.offset());
            if let Some(key) = first.message.message().key() {
                slot = slot.with_key(key);
            }
            // Not under the lock: a runtime that shuts down ends the message here, and its end takes the lock.
            if let Err(full) = workers.try_submit(slot, job) {
                self.lock().held.push_front((lane, full.message));
                return true;
            }
        }
    }

    /// A job has ended.
    pub fn ended(&self, ended: Ended<Lane, Attended>) {
        let mut state = self.lock();
        if let End::Done(Attended { finished, stop }) = ended.end
            && !ended.revoked
        {
            for of in finished {
                state.offsets.finished(&ended.slot.lane, of);
            }
            if let Some(stop) = stop {
                state.stop.get_or_insert(stop);
            }
        }
        drop(state);
        self.woken.notify_one();
    }

    /// Why nothing should go on.
    pub fn stop(&self) -> Option<RunError> {
        self.lock().stop.take()
    }

    /// What is to be committed.
    pub fn due(&self) -> Vec<(Lane, i64)> {
        self.lock().offsets.due()
    }

    pub fn committed(&self, lanes: &[(Lane, i64)]) {
        let mut state = self.lock();
        for (lane, next) in lanes {
            state.offsets.committed(lane, *next);
        }
    }

    /// Everything that has not gone to a worker ends as unknown.
    pub fn clear(&self) {
        let left = self.lock().remove(|_| true);
        end_unknown(left, Outcome::Unknown("shutdown"));
    }
}

impl State {
    fn admit(&mut self, lane: Lane, item: Item, of: &Intake) {
        if of.batch_max == 1 {
            self.held.push_back((lane, vec![item]));
            return;
        }
        let (_, job) = self.forming.entry(lane.clone()).or_insert_with(|| (Instant::now(), Vec::new()));
        job.push(item);
        if job.len() >= of.batch_max
            && let Some((_, job)) = self.forming.remove(&lane)
        {
            self.held.push_back((lane, job));
        }
    }

    fn remove(&mut self, is_gone: impl Fn(&Lane) -> bool) -> Vec<Item> {
        let mut gone = Vec::new();
        let (held, kept) = std::mem::take(&mut self.held).into_iter().partition(|(lane, _)| is_gone(lane));
        self.held = kept;
        let held: VecDeque<(Lane, Job)> = held;
        gone.extend(held.into_iter().flat_map(|(_, job)| job));
        gone.extend(self.forming.extract_if(|lane, _| is_gone(lane)).flat_map(|(_, (_, job))| job));
        gone.extend(self.delayed.extract_if(.., |(_, lane, _)| is_gone(lane)).map(|(.., item)| item));
        gone
    }
}

/// Ends messages that no handler has seen.
pub(super) fn end_unknown(items: impl IntoIterator<Item = Item>, outcome: Outcome) {
    for item in items {
        item.message.process().declare(outcome.clone(), None);
    }
}

/// Told of partitions that go.
pub(super) struct Running {
    pub intake: Arc<Intake>,
    pub workers: Workers<Lane, Job>,
}

impl OnRevoke for Running {
    fn revoked(&self, partitions: &TopicPartitionList) -> TopicPartitionList {
        let mut commit = TopicPartitionList::new();
        for gone in partitions.elements() {
            let lane = Lane { topic: gone.topic().into(), partition: gone.partition() };
            let waiting = self.workers.revoke(&lane).waiting.into_iter().flat_map(|(_, job)| job);
            let mut state = self.intake.lock();
            let unsent = state.remove(|of| *of == lane);
            let due = state.offsets.due().into_iter().find(|(of, _)| *of == lane);
            state.offsets.revoke(&lane);
            drop(state);
            end_unknown(waiting.chain(unsent), REVOKED);
            if let Some((_, next)) = due {
                add(&mut commit, &lane, Offset::Offset(next));
            }
        }
        commit
    }
}

/// The client refuses an offset only where it is negative.
pub(super) fn add(list: &mut TopicPartitionList, lane: &Lane, offset: Offset) {
    let added = list.add_partition_offset(&lane.topic, lane.partition, offset);
    debug_assert!(added.is_ok(), "{lane:?} {offset:?}");
}
