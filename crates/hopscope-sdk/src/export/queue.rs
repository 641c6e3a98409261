//! The bounded queue between spans that have ended and the worker that sends them.
//!
//! The end of a span takes one short lock, appends its bytes to a chunk and goes: it never waits for the network, and
//! allocates only when a chunk is full. What the queue cannot hold and what the target did not take is counted, so
//! that `ended = exported + failed + dropped + queued` at any time.
//!
//! Memory is bounded by the capacity of the chunks, not by what is in them: waiting, on their way and spare ones
//! together never take more than the limit. When it is reached, the oldest chunk of the least valuable spans goes.

use super::{Outlet, Worth};
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What has become of the spans of a process: `ended = exported + failed + dropped + queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended, and to be exported.
    pub ended: u64,
    /// Acknowledged.
    pub exported: u64,
    /// Refused for good, or on their way when the export was ended.
    pub failed: u64,
    /// Not held: the queue was full, or the export had ended.
    pub dropped: u64,
    /// Waiting or on their way.
    pub queued: u64,
    /// Bytes of those.
    pub queued_bytes: u64,
}

/// How much is held, and when it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub delay: Duration,
    pub batch_spans_max: usize,
    pub batch_bytes_max: usize,
    pub queue_spans_max: usize,
    pub queue_bytes_max: usize,
}

impl Limits {
    /// Bytes of a chunk: small beside the queue, so that little is lost with one, and large beside a span. A batch is
    /// made of whole ones.
    fn chunk_bytes(&self) -> usize {
        (self.queue_bytes_max / 64).clamp(256, 64 * 1024).min(self.batch_bytes_max.max(1))
    }

    /// Spans of a chunk: as small a part of a queue that is bounded by spans.
    fn chunk_spans_max(&self) -> usize {
        self.batch_spans_max.min(self.queue_spans_max / 8).max(1)
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Tells the worker that there is something to do now.
    wake: Notify,
    /// Tells who flushes that a batch is done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ordinary: VecDeque<Chunk>,
    kept: VecDeque<Chunk>,
    /// Empty buffers of the usual size, for the next chunks.
    spare: Vec<Vec<u8>>,
    /// Capacity of all chunks: waiting, in flight and spare.
    held_bytes: usize,
    waiting: Load,
    in_flight: Load,
    /// The worker knows that there is something to do.
    is_awake: bool,
    is_closed: bool,
    exported: u64,
    failed: u64,
    dropped: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    spans: usize,
    bytes: usize,
}

/// Framed spans: the number of the scope and the length, four bytes each, then the span.
#[derive(Debug)]
struct Chunk {
    buffer: Vec<u8>,
    spans: usize,
}

/// Bytes of a frame beside the span.
const FRAME_BYTES: usize = 8;

/// Spare buffers that are kept: what a steady stream needs.
const SPARE_MAX: usize = 8;

/// What is on its way. It goes back by [`Queue::finish`] or [`Queue::put_back`].
#[derive(Debug)]
pub(crate) struct Batch {
    chunks: Vec<(Worth, Chunk)>,
    load: Load,
}

impl Batch {
    pub fn spans(&self) -> u64 {
        self.load.spans as u64
    }

    /// The scopes' numbers and the encoded spans.
    pub fn frames(&self) -> impl Iterator<Item = (u32, &[u8])> + Clone {
        self.chunks.iter().flat_map(|(_, chunk)| Frames(&chunk.buffer))
    }
}

impl Chunk {
    fn push(&mut self, scope: u32, span: &[u8]) {
        self.buffer.extend_from_slice(&scope.to_le_bytes());
        self.buffer.extend_from_slice(&(span.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(span);
        self.spans += 1;
    }

    fn load(&self) -> Load {
        Load { spans: self.spans, bytes: self.buffer.len() }
    }
}

#[derive(Clone)]
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (scope, rest) = self.0.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_first_chunk::<4>()?;
        let (span, rest) = rest.split_at_checked(u32::from_le_bytes(*bytes) as usize)?;
        self.0 = rest;
        Some((u32::from_le_bytes(*scope), span))
    }
}

impl Load {
    fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.bytes += other.bytes;
    }

    fn take_away(&mut self, other: Self) {
        self.spans -= other.spans;
        self.bytes -= other.bytes;
    }
}

impl Queue {
    pub fn new(limits: Limits) -> Self {
        let shared = Shared { limits, state: Mutex::default(), wake: Notify::new(), done: Condvar::new() };
        Self(Arc::new(shared))
    }

    /// Takes one encoded span of the scope of that number.
    pub fn push_scoped(&self, scope: u32, span: &[u8], worth: Worth) {
        let limits = &self.0.limits;
        let frame_bytes = FRAME_BYTES + span.len();
        let mut state = self.0.lock();
        if state.is_closed || !state.make_room(limits, worth, frame_bytes) {
            state.dropped += 1;
            return;
        }
        state.waiting.add(Load { spans: 1, bytes: frame_bytes });
        if let Some(chunk) = state.of(worth).back_mut() {
            chunk.push(scope, span);
        }
        let Load { spans, bytes } = state.waiting;
        if state.is_awake || spans < limits.batch_spans_max && bytes < limits.batch_bytes_max {
            return;
        }
        state.is_awake = true;
        drop(state);
        self.0.wake.notify_one();
    }

    /// Has the worker send what waits, without waiting for it.
    pub fn hurry(&self) {
        self.0.wake.notify_one();
    }

    /// Waits until everything that has ended is sent or given up, at most that long.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.hurry();
        let state = self.0.lock();
        let waited = self.0.done.wait_timeout_while(state, deadline, |state| !state.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }

    /// Takes no more, sends what is left within the deadline, and gives up on the rest.
    pub fn close(&self, deadline: Duration) {
        self.0.lock().is_closed = true;
        self.flush(deadline);
        let mut state = self.0.lock();
        state.dropped += mem::take(&mut state.waiting).spans as u64;
        state.failed += mem::take(&mut state.in_flight).spans as u64;
        (state.ordinary, state.kept, state.spare) = Default::default();
        state.held_bytes = 0;
        drop(state);
        self.0.wake.notify_one();
    }

    pub fn counts(&self) -> Counts {
        let state = self.0.lock();
        let queued = (state.waiting.spans + state.in_flight.spans) as u64;
        let State { exported, failed, dropped, .. } = *state;
        Counts {
            ended: exported + failed + dropped + queued,
            exported,
            failed,
            dropped,
            queued,
            queued_bytes: (state.waiting.bytes + state.in_flight.bytes) as u64,
        }
    }

    /// Closed, and nothing is left that could be sent.
    pub fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.is_closed && state.is_empty()
    }

    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// Waits until there is a full batch, a flush or the close, at most that long.
    pub async fn wait(&self, at_most: Duration) {
        // Either way there is something to do.
        let _ = tokio::time::timeout(at_most, self.0.wake.notified()).await;
    }

    /// How long the worker waits for a full batch.
    pub fn delay(&self) -> Duration {
        self.0.limits.delay
    }

    /// The most valuable spans that wait, oldest first, as many as fit into a batch.
    pub fn take(&self) -> Option<Batch> {
        let limits = &self.0.limits;
        let mut state = self.0.lock();
        let mut batch = Batch { chunks: Vec::new(), load: Load::default() };
        for worth in [Worth::Kept, Worth::Ordinary] {
            while let Some(next) = state.of(worth).front().map(Chunk::load) {
                let is_full = batch.load.spans + next.spans > limits.batch_spans_max
                    || batch.load.bytes + next.bytes > limits.batch_bytes_max;
                if is_full && !batch.chunks.is_empty() {
                    break;
                }
                batch.chunks.extend(state.of(worth).pop_front().map(|chunk| (worth, chunk)));
                batch.load.add(next);
            }
        }
        state.is_awake = !batch.chunks.is_empty();
        if batch.chunks.is_empty() {
            return None;
        }
        state.waiting.take_away(batch.load);
        state.in_flight = batch.load;
        Some(batch)
    }

    /// The target has taken all but those, or (`rejected` = all) none.
    pub fn finish(&self, batch: Batch, rejected: u64) {
        let mut state = self.0.lock();
        // Nothing is in flight any more where the close has given up on it already.
        if mem::take(&mut state.in_flight).spans > 0 {
            let failed = rejected.min(batch.spans());
            state.failed += failed;
            state.exported += batch.spans() - failed;
            for (_, chunk) in batch.chunks {
                state.recycle(&self.0.limits, chunk.buffer);
            }
        }
        drop(state);
        self.0.done.notify_all();
    }

    /// The target may take it later: from now on it waits with the others, and goes first if there is no room.
    pub fn put_back(&self, batch: Batch) {
        let mut state = self.0.lock();
        if mem::take(&mut state.in_flight).spans == 0 {
            return;
        }
        state.waiting.add(batch.load);
        for (worth, chunk) in batch.chunks.into_iter().rev() {
            state.of(worth).push_front(chunk);
        }
    }
}

impl Outlet for Queue {
    fn push(&self, span: &[u8], worth: Worth) {
        self.push_scoped(super::envelope::OWN_SCOPE, span, worth);
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.waiting.spans == 0 && self.in_flight.spans == 0
    }

    fn of(&mut self, worth: Worth) -> &mut VecDeque<Chunk> {
        match worth {
            Worth::Ordinary => &mut self.ordinary,
            Worth::Kept => &mut self.kept,
        }
    }

    /// Makes room for a frame at the end of the last chunk. False: there is none for a span of that worth.
    fn make_room(&mut self, limits: &Limits, worth: Worth, frame_bytes: usize) -> bool {
        while self.waiting.spans + self.in_flight.spans >= limits.queue_spans_max {
            if !self.drop_oldest(limits, worth) {
                return false;
            }
        }
        let spans_max = limits.chunk_spans_max();
        let fits = |chunk: &Chunk| {
            chunk.spans < spans_max && chunk.buffer.capacity() - chunk.buffer.len() >= frame_bytes
        };
        if self.of(worth).back().is_some_and(fits) {
            return true;
        }
        let chunk_bytes = limits.chunk_bytes().max(frame_bytes);
        if chunk_bytes > limits.queue_bytes_max {
            return false;
        }
        let buffer = loop {
            if chunk_bytes == limits.chunk_bytes()
                && let Some(buffer) = self.spare.pop()
            {
                break buffer;
            }
            if self.held_bytes + chunk_bytes <= limits.queue_bytes_max {
                self.held_bytes += chunk_bytes;
                break Vec::with_capacity(chunk_bytes);
            }
            if let Some(spare) = self.spare.pop() {
                self.held_bytes -= spare.capacity();
            } else if !self.drop_oldest(limits, worth) {
                return false;
            }
        };
        self.of(worth).push_back(Chunk { buffer, spans: 0 });
        true
    }

    /// Drops the oldest chunk of the least valuable spans; never of more valuable ones than the one that wants in.
    fn drop_oldest(&mut self, limits: &Limits, for_one_of: Worth) -> bool {
        let mut oldest = self.ordinary.pop_front();
        if oldest.is_none() && for_one_of == Worth::Kept {
            oldest = self.kept.pop_front();
        }
        let Some(chunk) = oldest else { return false };
        self.waiting.take_away(chunk.load());
        self.dropped += chunk.spans as u64;
        self.recycle(limits, chunk.buffer);
        true
    }

    fn recycle(&mut self, limits: &Limits, mut buffer: Vec<u8>) {
        if buffer.capacity() == limits.chunk_bytes() && self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        } else {
            self.held_bytes -= buffer.capacity();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
