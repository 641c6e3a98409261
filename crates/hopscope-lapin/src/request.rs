//! [`Requester`]: requests with replies, by RabbitMQ's direct reply-to.

use crate::TracedChannel;
use crate::channel::text;
use crate::failure::{failure, returned};
use crate::publish::{Outgoing, TracedConfirm, refused, with_headers};
use crate::receive::receive;
use crate::settle::Message;
use futures::StreamExt;
use hopscope_sdk::{Failure, Traced};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The queue that RabbitMQ keeps for each channel: a reply to it goes straight to who asked.
pub(crate) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Sends requests and waits for their replies, on a channel of its own; any number at a time.
///
/// A request is a send span that ends with the reply: the broker's confirm says only that a queue has it. A time-out and
/// a request that no queue takes (`NO_ROUTE`) are failures of it. The reply is received under the request's span and
/// linked to the responder's, and both have the correlation id.
///
/// A responder is any consumer: it publishes to the default exchange under the request's `reply_to`, with its
/// `correlation_id`, as part of its work: see [`TracedChannel::reply`].
#[derive(Debug)]
pub struct Requester {
    channel: TracedChannel,
    waiting: Waiting,
    /// Begin of the correlation ids of this requester.
    name: u64,
    request_next: AtomicU64,
    replies: JoinHandle<()>,
}

/// Who waits, by correlation id.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Result<Delivery, Failure>>>>>;

/// There is no reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// None in time. Whether the request was worked on is not known.
    TimedOut,
    /// The broker returned or refused the request.
    Refused(Failure),
    /// lapin's own.
    Client(lapin::Error),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no reply in time"),
            Self::Refused(failure) => write!(f, "{}: {}", failure.kind(), failure.message()),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => Some(error),
            Self::TimedOut | Self::Refused(_) => None,
        }
    }
}

impl Requester {
    /// On a channel of its own, best with `confirm_select`: without it, a request that no queue takes is known by
    /// its time-out alone.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn new(channel: TracedChannel) -> lapin::Result<Self> {
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consume = channel.inner().basic_consume(
            REPLY_TO.into(),
            ShortString::default(),
            options,
            FieldTable::default(),
        );
        let mut replies = consume.await?;
        let waiting = Waiting::default();
        let told = Arc::clone(&waiting);
        let replies = tokio::spawn(async move {
            while let Some(reply) = replies.next().await {
                let Ok(reply) = reply else { continue };
                let of = text(reply.properties.correlation_id());
                // Nobody waits any more: it timed out, or the reply came twice.
                if let Some(asked) = lock(&told).remove(of) {
                    let _ = asked.send(Ok(reply));
                }
            }
            // Dropping the senders tells who waits.
            lock(&told).clear();
        });
        let name = RandomState::new().hash_one(REPLY_TO);
        Ok(Self { channel, waiting, name, request_next: AtomicU64::new(1), replies })
    }

    /// Sends a request and waits for its reply. `reply_to` is set, and `correlation_id` where the application set none;
    /// one that is set must be unique among the requests on their way. Cancelled, the request is recorded as unknown.
    ///
    /// # Errors
    /// There is no reply, and why.
    pub async fn request(
        &self,
        exchange: ShortString,
        routing_key: ShortString,
        payload: &[u8],
        properties: BasicProperties,
        timeout: Duration,
    ) -> Result<Traced<Delivery>, RequestError> {
        let correlation_id = match properties.correlation_id() {
            Some(set) => set.clone(),
            None => {
                let number = self.request_next.fetch_add(1, Ordering::Relaxed);
                format!("{:016x}-{number}", self.name).into()
            }
        };
        let properties =
            properties.with_reply_to(REPLY_TO.into()).with_correlation_id(correlation_id.clone());
        let outgoing = Outgoing {
            exchange: exchange.as_str(),
            routing_key: routing_key.as_str(),
            payload,
            properties: &properties,
            copied_from: None,
        };
        let (sending, headers) = outgoing.start(&self.channel.settings, "request");
        let properties = with_headers(properties, headers);
        let asked = self.ask(correlation_id.as_str());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let publish = self.channel.inner().basic_publish(exchange, routing_key, options, payload, properties);
        let answer = async { self.answer(publish.await?, asked).await };
        let error = match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(reply)) => {
                let delivery = {
                    let _request = sending.context().clone().attach();
                    receive(&self.channel.settings, "consume", REPLY_TO, "", &reply)
                };
                sending.accepted();
                return Ok(Traced::new(reply, delivery));
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => RequestError::TimedOut,
        };
        sending.fail(match &error {
            RequestError::TimedOut => Failure::new("timeout", &error),
            RequestError::Refused(failure) => failure.clone(),
            RequestError::Client(error) => failure(error),
        });
        Err(error)
    }

    fn ask(&self, correlation_id: &str) -> Asked<'_> {
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(correlation_id.to_owned(), tell);
        Asked { waiting: &self.waiting, correlation_id: correlation_id.to_owned(), told }
    }

    async fn answer(
        &self,
        confirm: PublisherConfirm,
        mut asked: Asked<'_>,
    ) -> Result<Delivery, RequestError> {
        tokio::select! {
            biased;
            told = &mut asked.told => return reply(told),
            confirmed = confirm => self.confirmed(&asked, confirmed),
        }
        reply((&mut asked.told).await)
    }

    /// A returned message may be another request's than the one whose confirm it came with.
    fn confirmed(&self, asked: &Asked<'_>, answer: lapin::Result<Confirmation>) {
        let tell = |of: &str, failure| {
            if let Some(asked) = lock(&self.waiting).remove(of) {
                let _ = asked.send(Err(failure));
            }
        };
        if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = &answer {
            tell(text(message.properties.correlation_id()), returned(message));
        }
        if let Some(failure) = refused(&answer) {
            tell(&asked.correlation_id, failure);
        }
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

impl TracedChannel {
    /// Replies to a request: to its `reply_to`, with its `correlation_id`. `None` where it asks for no reply. Call it
    /// within the work on the request ([`Processing::run`](hopscope_sdk::Processing::run)), so that the reply is its
    /// effect.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn reply<M: Message>(
        &self,
        request: &Traced<M>,
        payload: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<Option<TracedConfirm>> {
        let asked = &request.message().as_delivery().properties;
        let Some(reply_to) = asked.reply_to().clone() else { return Ok(None) };
        let properties = match asked.correlation_id() {
            Some(correlation_id) => properties.with_correlation_id(correlation_id.clone()),
            None => properties,
        };
        let options = BasicPublishOptions::default();
        self.basic_publish(ShortString::default(), reply_to, options, payload, properties).await.map(Some)
    }
}

/// A request on its way; dropped, nobody waits for it.
struct Asked<'r> {
    waiting: &'r Waiting,
    correlation_id: String,
    told: oneshot::Receiver<Result<Delivery, Failure>>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.correlation_id);
    }
}

fn reply(
    told: Result<Result<Delivery, Failure>, oneshot::error::RecvError>,
) -> Result<Delivery, RequestError> {
    match told {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(failure)) => Err(RequestError::Refused(failure)),
        Err(_no_sender) => {
            Err(RequestError::Refused(Failure::new("channel-closed", "the channel is closed")))
        }
    }
}

impl From<lapin::Error> for RequestError {
    fn from(error: lapin::Error) -> Self {
        Self::Client(error)
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Result<Delivery, Failure>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
