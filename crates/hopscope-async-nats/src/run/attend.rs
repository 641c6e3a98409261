//! What is done about one message: the handler, and what follows.

use super::Options;
use crate::Received;
use crate::settle::reason;
use async_nats::jetstream::AckKind;
use futures::FutureExt;
use hopscope_sdk::dead_letter::Original;
use hopscope_sdk::{Declared, Disposition, Failure, Outcome, Processing, Verdict};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Why the outcome of messages that were not finished is unknown.
pub(super) const SHUTDOWN: Outcome = Outcome::Unknown("shutdown");

/// How long the server waits with a message that could not be sent on: it would come again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a failed message.
pub(super) enum Fate {
    Again(Duration),
    DeadLettered(Box<Original>),
    GivenUp,
    /// It should have been sent on, and was not: its span says why.
    NotCopied,
}

impl Fate {
    /// What the server will be asked.
    fn disposition(&self) -> Disposition {
        match self {
            Self::Again(_) | Self::NotCopied => Disposition::Retry,
            Self::DeadLettered(_) | Self::GivenUp => Disposition::Reject,
        }
    }

    /// Tells the server. What goes wrong is in the settle span, and the message comes again after `ack_wait`.
    pub(super) async fn settle(self, message: &Received, declared: Declared, failure: &Failure) {
        let _recorded = match self {
            Self::Again(delay) => {
                let delay = (!delay.is_zero()).then_some(delay);
                message.settle(declared, AckKind::Nak(delay)).await
            }
            Self::NotCopied => message.settle(declared, AckKind::Nak(Some(PAUSE))).await,
            Self::DeadLettered(_) | Self::GivenUp => message.term(declared, &reason(failure)).await,
        };
    }
}

impl Options {
    /// Does what must be done before the server is told. Call it under the work's context.
    pub(super) async fn follow(
        &self,
        verdict: Verdict,
        message: &Received,
        attempts: u32,
        failure: &Failure,
    ) -> Fate {
        match (verdict, &self.dead_letter) {
            (Verdict::Again { delay }, _) => Fate::Again(delay),
            (Verdict::GiveUp, None) => Fate::GivenUp,
            (Verdict::GiveUp, Some(to)) => match to.send(message, attempts, failure).await {
                Ok((_, original)) => Fate::DeadLettered(Box::new(original)),
                Err(_) => Fate::NotCopied,
            },
        }
    }

    pub(super) async fn acknowledge(&self, message: &Received, declared: Declared) {
        let _recorded = if self.double_ack {
            message.double_ack(declared).await
        } else {
            message.settle(declared, AckKind::Ack).await
        };
    }

    /// Runs that to its end, and meanwhile tells the server that these are being worked on.
    pub(super) async fn in_progress<R>(&self, messages: &[Received], work: impl Future<Output = R>) -> R {
        let Some(every) = self.progress_every else { return work.await };
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(every) => {}
            }
            for message in messages.iter().filter(|message| message.wants_ack()) {
                // Where it does not get through, the message may come to another consumer too: at least once.
                let _ = message.message().ack_with(AckKind::Progress).await;
            }
        }
    }
}

/// Which attempt this delivery is, by the server's own count.
pub(super) fn attempt_of(message: &Received) -> u32 {
    message.delivery().attempt().unwrap_or(1)
}

pub(super) async fn give_back(message: &Received, declared: Declared) {
    let _recorded = message.settle(declared, AckKind::Nak(None)).await;
}

pub(super) struct Handling {
    options: Options,
    /// Handlers that were stopped: what they were at.
    left: Mutex<Vec<(Received, Declared)>>,
}

impl Handling {
    pub(super) fn new(options: Options) -> Self {
        Self { options, left: Mutex::default() }
    }

    pub(super) async fn single<E, H, F>(self: Arc<Self>, message: Received, handler: Arc<H>)
    where
        H: Fn(Received) -> F,
        F: Future<Output = Result<(), E>>,
        for<'e> Failure: From<&'e E>,
    {
        let options = &self.options;
        let mut work = AtWork { handling: &self, message: &message, processing: None };
        let processing = work.processing.insert(message.delivery().process());
        let tries = AtomicU32::new(0);
        let attempts = options.in_place.run(processing, || {
            tries.fetch_add(1, Ordering::Relaxed);
            handler(message.clone())
        });
        let attempts = AssertUnwindSafe(attempts).catch_unwind();
        let failure = match options.in_progress(std::slice::from_ref(&message), attempts).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failure::from(&error)),
            Err(panic) => Some(Failure::panic(&*panic)),
        };
        if !message.wants_ack() {
            work.declare(failure.map_or(Outcome::Ok, Outcome::Failed), None);
            return;
        }
        let Some(failure) = failure else {
            if let Some(declared) = work.declare(Outcome::Ok, Some(Disposition::Accept)) {
                options.acknowledge(&message, declared).await;
            }
            return;
        };
        let attempt = attempt_of(&message);
        let made = attempt.saturating_sub(1).saturating_add(tries.load(Ordering::Relaxed));
        let verdict = options.retry.decide(processing, attempt, &failure);
        let fate = processing.run(options.follow(verdict, &message, made, &failure)).await;
        if let (Fate::DeadLettered(original), Some(to)) = (&fate, &options.dead_letter) {
            original.note(processing, to.subject());
        }
        if let Some(declared) = work.declare(Outcome::Failed(failure.clone()), Some(fate.disposition())) {
            fate.settle(&message, declared, &failure).await;
        }
    }

    /// A message that was received and that no handler has begun on.
    pub(super) async fn give_back_unseen(&self, message: &Received) {
        let declared = message.delivery().process().declare(SHUTDOWN, None);
        if message.wants_ack() {
            give_back(message, declared).await;
        }
    }

    pub(super) async fn give_back_left(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for (message, declared) in left {
            if message.wants_ack() {
                give_back(&message, declared).await;
            }
        }
    }
}

/// A handler at work; dropped before its end (it was stopped), the message is left.
struct AtWork<'a> {
    handling: &'a Handling,
    message: &'a Received,
    processing: Option<Processing>,
}

impl AtWork<'_> {
    fn declare(&mut self, outcome: Outcome, disposition: Option<Disposition>) -> Option<Declared> {
        Some(self.processing.take()?.declare(outcome, disposition))
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if let Some(declared) = self.declare(SHUTDOWN, None) {
            let mut left = self.handling.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.push((self.message.clone(), declared));
        }
    }
}
