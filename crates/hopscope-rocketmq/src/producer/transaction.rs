//! [`TracedTransactionProducer`]: the client's producer of transactional messages.

use super::sending::{Kind, Open, start};
use crate::carrier::ReadHeaders;
use crate::failure::failure;
use crate::received::{Reader, topic_alone};
use hopscope_sdk::opentelemetry::trace::TraceContextExt;
use hopscope_sdk::opentelemetry::{Context, ContextGuard};
use hopscope_sdk::{Details, Disposition, Failure, Telemetry, Value};
use rocketmq_client_rust::{
    ArcTransactionListener, ClientResult, LocalTransactionState, TransactionListener, TransactionMQProducer,
    TransactionSendResult,
};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use std::any::Any;
use std::sync::Arc;

/// A [`TransactionMQProducer`] whose messages and decisions are traced.
///
/// A send ends when the local transaction has spoken, with `messaging.rocketmq.transaction.outcome`: `committed`; a
/// failure `TRANSACTION_ROLLED_BACK`, because no consumer will ever see that message; or unknown, `transaction
/// undecided`. Then the broker asks again, and each answer is a settle step of its own that links to the send. The
/// broker holds the message in a topic of its own until it is committed, so the send knows no queue and offset.
///
/// The local transaction and the check run under the context of the send: what they write and call is part of it.
pub struct TracedTransactionProducer {
    producer: TransactionMQProducer,
    telemetry: Telemetry,
}

impl TracedTransactionProducer {
    /// Around a client whose transaction listener is set, with the global telemetry: call `hopscope_sdk::setup`
    /// before.
    pub fn new(producer: TransactionMQProducer) -> Self {
        Self::with_telemetry(producer, Telemetry::global())
    }

    /// The same, with telemetry of its own.
    pub fn with_telemetry(mut producer: TransactionMQProducer, telemetry: Telemetry) -> Self {
        if let Some(inner) = producer.transaction_listener() {
            let reader = Reader { telemetry: telemetry.clone(), group: String::new() };
            producer.set_transaction_listener_arc(Arc::new(TracedListener { inner, reader }));
        }
        Self { producer, telemetry }
    }

    /// The client's producer, untraced. A listener that is set here is not traced either.
    pub fn inner(&self) -> &TransactionMQProducer {
        &self.producer
    }

    /// The client's producer, to start and to shut down.
    pub fn inner_mut(&mut self) -> &mut TransactionMQProducer {
        &mut self.producer
    }

    /// [`TransactionMQProducer::send_message_in_transaction`], traced until the local transaction has spoken.
    ///
    /// # Errors
    /// The client's own: the broker does not have the message.
    pub async fn send_message_in_transaction<T, M>(
        &self,
        mut message: M,
        argument: Option<T>,
    ) -> ClientResult<TransactionSendResult>
    where
        T: Any + Sync + Send,
        M: MessageTrait + Send + Sync,
    {
        let open = start(&self.telemetry, "send", &mut message, Kind::Transaction, None);
        let answer = self.producer.send_message_in_transaction(message, argument).await;
        match &answer {
            Ok(result) => decided(open, result),
            Err(error) => open.fail(failure(error)),
        }
        answer
    }
}

impl std::fmt::Debug for TracedTransactionProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedTransactionProducer").finish_non_exhaustive()
    }
}

fn decided(mut open: Open, result: &TransactionSendResult) {
    let state = result.local_transaction_state.unwrap_or(LocalTransactionState::Unknown);
    if let Some(sent) = &result.send_result {
        open = open.learn(sent, (OUTCOME, Value::Text(word(state))));
    }
    match state {
        LocalTransactionState::CommitMessage => open.sending.accepted(),
        LocalTransactionState::RollbackMessage => {
            open.fail(Failure::new("TRANSACTION_ROLLED_BACK", "the local transaction was rolled back"));
        }
        LocalTransactionState::Unknown => open.sending.unknown("transaction undecided"),
    }
}

const OUTCOME: &str = "messaging.rocketmq.transaction.outcome";

fn word(state: LocalTransactionState) -> &'static str {
    match state {
        LocalTransactionState::CommitMessage => "committed",
        LocalTransactionState::RollbackMessage => "rolled_back",
        LocalTransactionState::Unknown => "undecided",
    }
}

/// Runs the application's listener under the context of the send, and records what a check says.
struct TracedListener {
    inner: ArcTransactionListener,
    reader: Reader,
}

impl TracedListener {
    /// The send's context, as the message carries it.
    fn enter(&self, message: &dyn MessageTrait) -> Option<ContextGuard> {
        let headers = ReadHeaders(message.get_properties());
        let place = topic_alone(message.topic());
        let delivery = self.reader.telemetry.delivered(place, &Details::default(), &headers);
        let creation = delivery.origin().context.clone()?;
        Some(Context::current().with_remote_span_context(creation).attach())
    }
}

impl TransactionListener for TracedListener {
    fn execute_local_transaction(
        &self,
        message: &dyn MessageTrait,
        argument: Option<&(dyn Any + Send + Sync)>,
    ) -> LocalTransactionState {
        let _entered = self.enter(message);
        self.inner.execute_local_transaction(message, argument)
    }

    /// The client passes the answer on later, one-way: it is recorded as sent.
    fn check_local_transaction(&self, message: &MessageExt) -> LocalTransactionState {
        let _entered = self.enter(message);
        let state = self.inner.check_local_transaction(message);
        let (operation, disposition) = match state {
            LocalTransactionState::CommitMessage => ("commit", Disposition::Accept),
            LocalTransactionState::RollbackMessage => ("rollback", Disposition::Reject),
            LocalTransactionState::Unknown => ("check", Disposition::Retry),
        };
        self.reader.checked(message).settle(operation, Some(disposition)).sent();
        state
    }
}
