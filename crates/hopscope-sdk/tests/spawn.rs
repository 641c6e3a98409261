//! The current context follows spawned work, and never stays behind.

use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use hopscope_sdk::spawn;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

fn context(span: u64) -> Context {
    let trace = TraceId::from(1_u128);
    let span = SpanContext::new(trace, SpanId::from(span), TraceFlags::SAMPLED, true, TraceState::NONE);
    Context::new().with_remote_span_context(span)
}

/// The span that is current, 0 where there is none.
fn current() -> u64 {
    u64::from_be_bytes(Context::current().span().span_context().span_id().to_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_keeps_its_context_over_every_await_and_worker() {
    let tasks: Vec<_> = (1..=64)
        .map(|span| {
            let _entered = context(span).attach();
            spawn::task(async move {
                for _ in 0..50 {
                    assert_eq!(current(), span);
                    tokio::task::yield_now().await;
                }
                span
            })
        })
        .collect();
    assert_eq!(current(), 0);
    for (task, span) in tasks.into_iter().zip(1..) {
        assert_eq!(task.await.expect("no panic"), span);
    }
}

#[tokio::test]
async fn spawned_in_spawned() {
    async {
        let inner = spawn::task(async { spawn::task(async { current() }).await.expect("no panic") });
        assert_eq!(inner.await.expect("no panic"), 7);
    }
    .with_context(context(7))
    .await;
    // Without the helper it is lost: what this is for.
    let lost =
        async { tokio::spawn(async { current() }).await.expect("no panic") }.with_context(context(7)).await;
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn blocking_work_and_threads() {
    let (blocking, thread) = {
        let _entered = context(7).attach();
        (spawn::blocking(current), spawn::thread(current))
    };
    assert_eq!(blocking.await.expect("no panic"), 7);
    assert_eq!(thread.join().expect("no panic"), 7);
}

#[test]
fn a_thread_of_a_pool_is_left_as_it_was() {
    type Work = Box<dyn FnOnce() + Send>;
    let (pool, work) = mpsc::channel::<Work>();
    let (told, seen) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        for work in work {
            let _ = catch_unwind(AssertUnwindSafe(work));
            told.send(current()).expect("the test listens");
        }
    });
    let _entered = context(7).attach();
    let (ran, runs) = mpsc::channel();
    pool.send(Box::new(spawn::carrying(move || ran.send(current()).expect("the test listens"))))
        .expect("alive");
    assert_eq!((runs.recv(), seen.recv()), (Ok(7), Ok(0)));
    pool.send(Box::new(spawn::carrying(|| panic!("in the pool")))).expect("alive");
    assert_eq!(seen.recv(), Ok(0), "after a panic too");
    drop(pool);
    worker.join().expect("the worker ends");
}

#[tokio::test]
async fn what_a_select_drops_leaves_nothing_behind() {
    async {
        tokio::select! {
            biased;
            () = async {
                assert_eq!(current(), 8);
                pending::<()>().await;
            }.with_context(context(8)) => unreachable!("it never ends"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(current(), 7, "the branch that was dropped is not current");
    }
    .with_context(context(7))
    .await;
    assert_eq!(current(), 0);
}

#[tokio::test]
async fn an_aborted_task_drops_what_it_holds_once_and_leaves_nothing_behind() {
    struct Tells(mpsc::Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (told, dropped) = mpsc::channel();
    let (started, starts) = tokio::sync::oneshot::channel();
    let task = {
        let _entered = context(7).attach();
        spawn::task(async move {
            let _held = Tells(told);
            started.send(current()).expect("the test listens");
            pending::<()>().await;
        })
    };
    assert_eq!(starts.await, Ok(7));
    task.abort();
    assert!(task.await.expect_err("aborted").is_cancelled());
    assert_eq!(dropped.try_iter().count(), 1);
    assert_eq!(current(), 0);
}
