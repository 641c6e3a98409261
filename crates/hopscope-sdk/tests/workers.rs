//! Handlers side by side: bounds, order, panics, revocation, drain. No test sleeps: each waits for what it asks.

use hopscope_sdk::work::{End, Ended, Order, Slot, Task, Workers, WorkersConfig};
use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};

type Lane = &'static str;
type Ends = mpsc::UnboundedReceiver<Ended<Lane, u64>>;

const LONG: Duration = Duration::from_secs(60);

fn config(workers_max: usize, waiting_max: usize, order: Order) -> WorkersConfig {
    WorkersConfig { workers_max, waiting_max, order }
}

/// Workers whose ends arrive at a channel.
fn workers<F>(
    config: WorkersConfig,
    handler: impl Fn(u64, Task<Lane>) -> F + Send + Sync + 'static,
) -> (Workers<Lane, u64>, Ends)
where
    F: Future<Output = u64> + Send + 'static,
{
    let (tell, ends) = mpsc::unbounded_channel();
    let ended = move |ended| tell.send(ended).expect("the test listens");
    (Workers::new(&Handle::current(), config, handler, ended), ends)
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_more_at_work_than_allowed_and_no_task_stays() {
    let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (workers, mut ends) = workers(config(3, 5, Order::None), {
        let (at_work, most) = (Arc::clone(&at_work), Arc::clone(&most));
        move |message, _| {
            let (at_work, most) = (Arc::clone(&at_work), Arc::clone(&most));
            async move {
                most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                at_work.fetch_sub(1, Ordering::SeqCst);
                message
            }
        }
    });
    let before = tasks();
    for n in 0..1000 {
        workers.submit(Slot::new("a", n), n as u64).await.expect("open");
        assert!(workers.waiting() <= 5 && tasks() <= before + 4, "waiting={}", workers.waiting());
    }
    let mut seen = vec![0; 1000];
    for _ in 0..1000 {
        let ended = ends.recv().await.expect("an end for each");
        assert!(matches!(ended.end, End::Done(n) if n as i64 == ended.slot.position));
        seen[ended.slot.position as usize] += 1;
    }
    assert!(seen.iter().all(|times| *times == 1), "each ends once");
    assert_eq!(most.load(Ordering::SeqCst), 3, "all workers were used, and no more");
    until(|| tasks() == before).await;
    assert_eq!((workers.running(), workers.waiting()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_holds_within_a_lane_or_key_and_nowhere_else() {
    for order in [Order::ByLane, Order::ByKey] {
        let (workers, mut ends) = workers(config(8, 100, order), |message, _| async move {
            for _ in 0..message % 7 {
                tokio::task::yield_now().await;
            }
            message
        });
        for n in 0..2000_i64 {
            let lane = if n % 2 == 0 { "even" } else { "odd" };
            let slot = Slot::new(lane, n).with_key(&[(n % 10) as u8]);
            workers.submit(slot, n as u64).await.expect("open");
        }
        let mut last: HashMap<(Lane, i64), i64> = HashMap::new();
        let mut overtaken = 0;
        let mut highest = -1;
        for _ in 0..2000 {
            let Slot { lane, position, .. } = ends.recv().await.expect("an end for each").slot;
            let key = if order == Order::ByKey { position % 10 } else { 0 };
            let before = last.insert((lane, key), position);
            assert!(before < Some(position), "{order:?} lane={lane} key={key} {before:?} before {position}");
            overtaken += usize::from(position < highest);
            highest = highest.max(position);
        }
        assert!(overtaken > 0, "{order:?}: different ones run side by side");
    }
}

#[tokio::test]
async fn a_full_pool_waits_and_tells() {
    let gate = Arc::new(Semaphore::new(0));
    let (workers, mut ends) = workers(config(1, 1, Order::None), {
        let gate = Arc::clone(&gate);
        move |message, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                message
            }
        }
    });
    workers.submit(Slot::new("a", 1), 1).await.expect("open");
    until(|| workers.running() == 1).await;
    workers.try_submit(Slot::new("a", 2), 2).expect("room for one that waits");
    assert!(!workers.has_room());
    let full = workers.try_submit(Slot::new("a", 3), 3).expect_err("full");
    assert_eq!((full.message, full.closed), (3, false));

    let mut waiting = Box::pin(workers.submit(Slot::new("a", 3), 3));
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is no room"),
        () = tokio::task::yield_now() => {}
    }
    gate.add_permits(1);
    waiting.await.expect("room came");
    gate.add_permits(2);
    for n in 1..=3 {
        assert_eq!(ends.recv().await.expect("an end").slot.position, n);
    }
    assert!(workers.room().await && workers.has_room());
}

#[tokio::test]
async fn a_panic_ends_its_own_message_alone() {
    let (workers, mut ends) = workers(config(1, 10, Order::ByLane), |message, _| {
        assert!(message != 1, "before the first await");
        async move {
            tokio::task::yield_now().await;
            assert!(message != 2, "after an await, message={message}");
            message
        }
    });
    for n in 1..=3 {
        workers.submit(Slot::new("a", n), n as u64).await.expect("open");
    }
    let mut next = async || ends.recv().await.expect("an end").end;
    assert!(matches!(next().await, End::Panicked(failure) if failure.message() == "before the first await"));
    assert!(matches!(next().await, End::Panicked(failure) if failure.message().contains("message=2")));
    assert!(matches!(next().await, End::Done(3)));
}

#[tokio::test]
async fn a_panic_in_ended_stops_nobody() {
    let count = Arc::new(AtomicUsize::new(0));
    let ended = {
        let count = Arc::clone(&count);
        move |_: Ended<Lane, ()>| {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("in ended");
        }
    };
    let workers = Workers::new(&Handle::current(), config(1, 10, Order::ByLane), |_: (), _| async {}, ended);
    for n in 0..5 {
        workers.submit(Slot::new("a", n), ()).await.expect("open");
    }
    until(|| count.load(Ordering::SeqCst) == 5).await;
}

#[tokio::test]
async fn a_revoked_lane_gives_back_what_waits_and_marks_what_runs() {
    let (workers, mut ends) = workers(config(2, 10, Order::ByLane), |message, task| async move {
        if task.slot().lane == "a" {
            task.revoked().await;
            assert!(task.is_revoked());
        }
        message
    });
    for (lane, n) in [("a", 1), ("a", 2), ("a", 3), ("b", 1)] {
        workers.submit(Slot::new(lane, n), n as u64).await.expect("open");
    }
    assert!(!ends.recv().await.expect("b goes on").revoked);
    let revoked = workers.revoke(&"a");
    let waiting: Vec<_> = revoked.waiting.iter().map(|(slot, message)| (slot.position, *message)).collect();
    assert_eq!(waiting, [(2, 2), (3, 3)]);
    assert_eq!(revoked.running, [Slot::new("a", 1)]);
    let ended = ends.recv().await.expect("the one at work ends");
    assert_eq!((ended.slot.position, ended.revoked), (1, true));

    workers.submit(Slot::new("a", 1), 1).await.expect("the lane came back");
    until(|| workers.running() == 1).await;
    assert!(workers.revoke(&"b").running.is_empty());
    assert_eq!(workers.revoke(&"a").running.len(), 1, "a mark is of one work, not of the lane for ever");
    ends.recv().await.expect("ends");
    assert_eq!(workers.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn drain_finishes_what_runs_and_gives_back_the_rest() {
    let gate = Arc::new(Notify::new());
    let (workers, mut ends) = workers(config(1, 10, Order::None), {
        let gate = Arc::clone(&gate);
        move |message, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                message
            }
        }
    });
    for n in 1..=3 {
        workers.submit(Slot::new("a", n), n as u64).await.expect("open");
    }
    until(|| workers.running() == 1).await;
    let drain = workers.drain(LONG);
    gate.notify_one();
    let drained = drain.await;
    assert_eq!(drained.not_started, [(Slot::new("a", 2), 2), (Slot::new("a", 3), 3)]);
    assert!(drained.aborted.is_empty());
    assert!(matches!(ends.recv().await.expect("an end").end, End::Done(1)));
    let full = workers.submit(Slot::new("a", 4), 4).await.expect_err("closed");
    assert_eq!((full.message, full.closed), (4, true));
    assert!(workers.try_submit(Slot::new("a", 5), 5).expect_err("closed").closed && !workers.room().await);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_by_the_deadline_is_stopped_and_told() {
    let before = tasks();
    let (workers, mut ends) = workers(config(2, 10, Order::None), |message, _| async move {
        if message == 1 {
            pending::<()>().await;
        }
        message
    });
    for n in 1..=2 {
        workers.submit(Slot::new("a", n), n as u64).await.expect("open");
    }
    assert!(matches!(ends.recv().await.expect("an end").end, End::Done(2)));
    let drained = workers.drain(LONG).await;
    assert_eq!(drained.aborted, [Slot::new("a", 1)]);
    assert!(matches!(ends.recv().await.expect("an end").end, End::Aborted));
    until(|| tasks() == before).await;
    let again = workers.drain(LONG).await;
    assert!(again.aborted.is_empty() && again.not_started.is_empty());
}

#[tokio::test]
async fn dropped_workers_leave_no_task_and_no_message() {
    let held = Arc::new(());
    let (tell, mut ends) = mpsc::unbounded_channel();
    let before = tasks();
    let workers = Workers::new(
        &Handle::current(),
        config(2, 10, Order::None),
        |message: Arc<()>, _| async move {
            pending::<()>().await;
            drop(message);
        },
        move |ended: Ended<Lane, ()>| tell.send(ended.end).expect("the test listens"),
    );
    for n in 0..5 {
        workers.submit(Slot::new("a", n), Arc::clone(&held)).await.expect("open");
    }
    until(|| workers.running() == 2).await;
    drop(workers);
    until(|| tasks() == before && Arc::strong_count(&held) == 1).await;
    for _ in 0..2 {
        assert!(matches!(ends.recv().await.expect("an end"), End::Aborted));
    }
    assert!(ends.recv().await.is_none(), "no other was begun");
}

#[test]
fn a_runtime_that_goes_down_ends_its_messages() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let told = Arc::clone(&ends);
    let workers = Workers::new(
        runtime.handle(),
        config(1, 10, Order::None),
        |_: u64, _| pending::<()>(),
        move |ended: Ended<Lane, ()>| told.lock().expect("unpoisoned").push(ended.slot.position),
    );
    runtime.block_on(async {
        for n in 1..=2 {
            workers.submit(Slot::new("a", n), n as u64).await.expect("open");
        }
        until(|| workers.running() == 1).await;
    });
    drop(runtime);
    assert_eq!(*ends.lock().expect("unpoisoned"), [1]);
    workers.try_submit(Slot::new("a", 3), 3).expect("it may wait");
    assert_eq!((workers.running(), workers.waiting()), (0, 2));
    assert_eq!(workers.revoke(&"a").waiting.len(), 2, "and comes back");
}
