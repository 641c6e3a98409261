//! The current context on the way into other tasks and threads.
//!
//! What a handler spawns does not know whose child it is: the current context belongs to a thread while it polls a
//! task, and a spawned task is polled elsewhere. These carry it along; cancellation and deadlines stay what they are.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! use hopscope_sdk::opentelemetry::trace::FutureExt;
//! use hopscope_sdk::spawn;
//!
//! spawn::task(async { /* what is sent here is a child of what is current now */ }).await?;
//! spawn::blocking(|| { /* here too */ }).await?;
//!
//! // Another runtime, a `JoinSet`, a `select!`, a stream: OpenTelemetry's own extension does it.
//! let mut tasks = tokio::task::JoinSet::new();
//! tasks.spawn(async {}.with_current_context());
//!
//! // Another pool of threads: any closure.
//! let work = spawn::carrying(|| 42);
//! assert_eq!(std::thread::spawn(work).join().ok(), Some(42));
//! # Ok::<(), tokio::task::JoinError>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Processing`](crate::Processing) needs none of this: it carries its own context, wherever
//! [`run`](crate::Processing::run) is polled.

use opentelemetry::Context;
use opentelemetry::trace::FutureExt;
use std::future::Future;
use std::thread;
use tokio::task::JoinHandle;

/// `tokio::spawn` with the context that is current here.
///
/// # Panics
/// Outside of a runtime, as `tokio::spawn` does.
#[track_caller]
pub fn task<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.with_current_context())
}

/// `tokio::task::spawn_blocking` with the context that is current here.
///
/// # Panics
/// Outside of a runtime, as `tokio::task::spawn_blocking` does.
#[track_caller]
pub fn blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    tokio::task::spawn_blocking(carrying(work))
}

/// `std::thread::spawn` with the context that is current here.
///
/// # Panics
/// Where the system refuses a thread, as `std::thread::spawn` does.
pub fn thread<F, R>(work: F) -> thread::JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    thread::spawn(carrying(work))
}

/// The closure, to run anywhere, with the context that is current here and now. Where it has run, the context of that
/// thread is again what it was, after a panic too.
pub fn carrying<F, R>(work: F) -> impl FnOnce() -> R + use<F, R>
where
    F: FnOnce() -> R,
{
    let context = Context::current();
    move || {
        let _entered = context.attach();
        work()
    }
}
