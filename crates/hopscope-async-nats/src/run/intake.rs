//! Messages as the client gives them, until somebody says stop.

use super::RunError;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt, Stream, StreamExt};
use std::future::Future;
use std::pin::Pin;

/// Why there is no next message.
#[derive(Debug)]
pub(super) enum End {
    Stopped,
    Ended(Option<async_nats::Error>),
}

impl End {
    pub(super) fn into_result(self) -> Result<(), RunError> {
        match self {
            Self::Stopped => Ok(()),
            Self::Ended(error) => Err(RunError::Ended(error)),
        }
    }
}

/// The next message; the client goes on after most of its errors.
pub(super) async fn next_or<S, E>(
    messages: &mut S,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Message, End>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
    E: Into<async_nats::Error>,
{
    let mut last = None;
    loop {
        let next = tokio::select! {
            biased;
            () = &mut stop => return Err(End::Stopped),
            next = messages.next() => next,
        };
        match next {
            Some(Ok(message)) => return Ok(message),
            Some(Err(error)) => last = Some(error.into()),
            None => return Err(End::Ended(last)),
        }
    }
}

/// Gives back what the client holds and nobody saw: there is no record of it. First all of it is taken, then the stream
/// goes, and only then the server is told: it would send them again on the open pull.
pub(super) async fn give_back_held<S, E>(mut messages: S, ack_policy: AckPolicy)
where
    S: Stream<Item = Result<Message, E>> + Unpin,
{
    let mut held = Vec::new();
    while let Some(Some(Ok(message))) = messages.next().now_or_never() {
        held.push(message);
    }
    drop(messages);
    for message in held.iter().filter(|_| ack_policy != AckPolicy::None) {
        // Where it does not get through, `ack_wait` brings the message again.
        let _ = message.ack_with(AckKind::Nak(None)).await;
    }
}
