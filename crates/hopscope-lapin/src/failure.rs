//! lapin's errors in few words.

use hopscope_sdk::Failure;
use lapin::ErrorKind;
use lapin::message::BasicReturnMessage;
use lapin::protocol::AMQPErrorKind;
use std::borrow::Cow;

/// `error.type` is AMQP's own name where the broker gave one (`NOT_FOUND`), else lapin's kind.
pub(crate) fn failure(error: &lapin::Error) -> Failure {
    let kind: Cow<'static, str> = match error.kind() {
        ErrorKind::ProtocolError(protocol) => match protocol.kind() {
            AMQPErrorKind::Soft(soft) => amqp_name(soft).into(),
            AMQPErrorKind::Hard(hard) => amqp_name(hard).into(),
        },
        ErrorKind::InvalidChannel(_) | ErrorKind::InvalidChannelState(..) => "channel-state".into(),
        ErrorKind::InvalidConnectionState(_) => "connection-state".into(),
        ErrorKind::IOError(io) | ErrorKind::RuntimeShutdownError(io) => format!("io-{:?}", io.kind()).into(),
        ErrorKind::MissingHeartbeatError => "missing-heartbeat".into(),
        ErrorKind::SerialisationError(_) => "serialisation".into(),
        _ => "lapin::Error".into(),
    };
    Failure::new(kind, error)
}

/// A returned message: `NO_ROUTE` for 312.
pub(crate) fn returned(message: &BasicReturnMessage) -> Failure {
    let kind = match message.reply_code {
        312 => Cow::Borrowed("NO_ROUTE"),
        313 => Cow::Borrowed("NO_CONSUMERS"),
        code => format!("AMQP_{code}").into(),
    };
    let text = format!(
        "returned by the broker, exchange={} routing_key={} reply={} {}",
        message.exchange, message.routing_key, message.reply_code, message.reply_text
    );
    Failure::new(kind, text)
}

/// The broker's logs and replies spell names with underscores.
fn amqp_name(name: impl std::fmt::Display) -> String {
    name.to_string().replace('-', "_")
}
