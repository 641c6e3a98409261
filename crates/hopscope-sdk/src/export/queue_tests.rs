//! The queue alone, without a worker.

use super::*;
use proptest::prelude::*;

const LONG: Duration = Duration::from_secs(30);

fn limits(batch_spans_max: usize, queue_spans_max: usize) -> Limits {
    let (batch_bytes_max, queue_bytes_max) = (usize::MAX, 1024 * 1024);
    Limits { delay: LONG, batch_spans_max, batch_bytes_max, queue_spans_max, queue_bytes_max }
}

fn push(queue: &Queue, spans: impl IntoIterator<Item = u8>, worth: Worth) {
    spans.into_iter().for_each(|span| queue.push(&[span; 20], worth));
}

fn first_bytes(batch: &Batch) -> Vec<u8> {
    batch.frames().map(|(_, span)| span[0]).collect()
}

/// What the queue says of itself is true, and it stays within its limits.
fn check(queue: &Queue, limits: &Limits, in_flight: &[Batch]) {
    let state = queue.0.lock();
    let load = |chunks: &mut dyn Iterator<Item = &Chunk>| {
        chunks.fold(Load::default(), |mut sum, chunk| {
            sum.add(chunk.load());
            sum
        })
    };
    assert_eq!(state.waiting, load(&mut state.ordinary.iter().chain(&state.kept)));
    let chunks = || state.ordinary.iter().chain(&state.kept);
    let flying = || in_flight.iter().flat_map(|batch| batch.chunks.iter().map(|(_, chunk)| chunk));
    let capacity: usize = chunks().chain(flying()).map(|chunk| chunk.buffer.capacity()).sum();
    let spare: usize = state.spare.iter().map(Vec::capacity).sum();
    assert_eq!(state.held_bytes, capacity + spare);
    assert!(state.held_bytes <= limits.queue_bytes_max, "{} bytes", state.held_bytes);
    assert!(state.waiting.spans + state.in_flight.spans <= limits.queue_spans_max);
    for chunk in chunks() {
        assert_eq!(Frames(&chunk.buffer).count(), chunk.spans);
    }
}

#[test]
fn batches_are_as_long_as_they_may_be_and_in_order() {
    let queue = Queue::new(limits(10, 1000));
    push(&queue, 0..25, Worth::Ordinary);
    let mut seen = Vec::new();
    while let Some(batch) = queue.take() {
        assert!(batch.spans() <= 10);
        seen.extend(first_bytes(&batch));
        queue.finish(batch, 0);
    }
    assert_eq!(seen, (0..25).collect::<Vec<_>>());
    assert_eq!(queue.counts(), Counts { ended: 25, exported: 25, ..Counts::default() });
}

#[test]
fn a_full_queue_drops_the_oldest_of_the_least_valuable() {
    let queue = Queue::new(limits(8, 16));
    push(&queue, 0..4, Worth::Kept);
    push(&queue, 10..30, Worth::Ordinary);
    assert_eq!(queue.counts().queued, 16);
    let batch = queue.take().expect("a batch");
    assert_eq!(first_bytes(&batch), [0, 1, 2, 3, 18, 19, 20, 21], "what matters goes first");
    queue.put_back(batch);
    push(&queue, 4..20, Worth::Kept);
    let batch = queue.take().expect("a batch");
    assert_eq!(first_bytes(&batch), (4..12).collect::<Vec<_>>(), "only now has what matters had to give way");
    push(&queue, 50..51, Worth::Ordinary);
    let counts = queue.counts();
    assert_eq!(
        (counts.ended, counts.dropped, counts.queued),
        (41, 25, 16),
        "no ordinary span displaces one that matters"
    );
}

#[test]
fn a_full_queue_of_the_usual_size_keeps_its_limit() {
    let limits = Limits {
        delay: LONG,
        batch_spans_max: 512,
        batch_bytes_max: 512 * 1024,
        queue_spans_max: usize::MAX,
        queue_bytes_max: 16 * 1024 * 1024,
    };
    let queue = Queue::new(limits);
    let span = [7; 700];
    let spans = 100_000;
    for number in 0..spans {
        queue.push(&span, if number % 50 == 0 { Worth::Kept } else { Worth::Ordinary });
    }
    check(&queue, &limits, &[]);
    let counts = queue.counts();
    assert_eq!(counts.ended, spans);
    assert_eq!(counts.dropped + counts.queued, spans);
    assert!(counts.queued_bytes > 15 * 1024 * 1024, "the room is used: {counts:?}");
    assert_eq!(queue.0.lock().kept.iter().map(|chunk| chunk.spans as u64).sum::<u64>(), spans / 50);
}

#[test]
fn a_span_larger_than_a_chunk_is_held_and_one_larger_than_the_queue_is_not() {
    let limits = limits(10, 100);
    let queue = Queue::new(limits);
    queue.push(&vec![1; 200_000], Worth::Ordinary);
    queue.push(&vec![2; 2_000_000], Worth::Kept);
    push(&queue, 3..4, Worth::Ordinary);
    check(&queue, &limits, &[]);
    let batch = queue.take().expect("a batch");
    assert_eq!(first_bytes(&batch), [1, 3]);
    assert_eq!(queue.counts().dropped, 1);
}

#[test]
fn a_close_accounts_for_every_span_and_takes_no_more() {
    let queue = Queue::new(limits(2, 100));
    push(&queue, 0..9, Worth::Ordinary);
    let batch = queue.take().expect("a batch");
    queue.finish(batch, 1);
    let batch = queue.take().expect("a batch");
    queue.close(Duration::ZERO);
    let counts = Counts { ended: 9, exported: 1, failed: 3, dropped: 5, ..Counts::default() };
    assert_eq!(queue.counts(), counts);
    queue.put_back(batch);
    push(&queue, 0..1, Worth::Kept);
    assert_eq!(queue.counts(), Counts { ended: 10, dropped: 6, ..counts });
    assert!(queue.is_over());
}

#[derive(Clone, Debug)]
enum Action {
    Push { bytes: usize, is_kept: bool },
    Take,
    Finish { rejected: u64 },
    PutBack,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => (0_usize..3000, any::<bool>()).prop_map(|(bytes, is_kept)| Action::Push { bytes, is_kept }),
        1 => Just(Action::Take),
        1 => (0_u64..20).prop_map(|rejected| Action::Finish { rejected }),
        1 => Just(Action::PutBack),
    ];
    prop::collection::vec(action, 0..400)
}

proptest! {
    #[test]
    fn nothing_is_lost_uncounted_whatever_happens(
        actions in actions(),
        queue_spans_max in 1_usize..200,
        queue_bytes_max in 100_usize..100_000,
        batch_spans_max in 1_usize..30,
        batch_bytes_max in 1_usize..10_000,
    ) {
        let limits = Limits { delay: LONG, batch_spans_max, batch_bytes_max, queue_spans_max, queue_bytes_max };
        let queue = Queue::new(limits);
        let (mut pushed, mut in_flight) = (0, Vec::new());
        for action in actions {
            match action {
                Action::Push { bytes, is_kept } => {
                    pushed += 1;
                    queue.push(&vec![1; bytes], if is_kept { Worth::Kept } else { Worth::Ordinary });
                }
                Action::Take if in_flight.is_empty() => {
                    in_flight.extend(queue.take());
                    let fits = |batch: &Batch| {
                        batch.load.spans == 1
                            || batch.load.bytes <= batch_bytes_max && batch.load.spans <= batch_spans_max
                    };
                    prop_assert!(in_flight.iter().all(fits), "{:?}", in_flight[0].load);
                }
                Action::Take => {}
                Action::Finish { rejected } => {
                    in_flight.drain(..).for_each(|batch| queue.finish(batch, rejected));
                }
                Action::PutBack => in_flight.drain(..).for_each(|batch| queue.put_back(batch)),
            }
            check(&queue, &limits, &in_flight);
            prop_assert_eq!(queue.counts().ended, pushed);
        }
    }
}
