//! What services say: a line of JSON on standard output for the player, and log lines on standard error.

use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::opentelemetry::trace::TraceContextExt;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// One line of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// Service.
    pub service: String,
    /// What happened.
    pub what: What,
    /// Order, where it is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// Broker's or application's message id, or the address of a service that listens.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The line that it wrote into its log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

/// What a service says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// It is connected and reads.
    #[default]
    Ready,
    /// It has handled an order, and sent on what there was to send.
    Handled,
    /// It has handled an order, and nothing comes after it.
    Ended,
    /// It has read all that it will read.
    Behind,
}

/// Says it to the player. Nobody may be listening any more: that is no error.
pub(crate) fn say(said: &Said) {
    if let Ok(line) = serde_json::to_string(said) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// The service is ready; `address` where it listens, or empty.
pub(crate) fn ready(service: &str, address: &str) {
    say(&Said { service: service.to_owned(), id: address.to_owned(), ..Said::default() });
}

/// The service has handled an order: as a log line with the trace in it, and to the player.
pub(crate) fn handled(service: &str, order: &str, id: &str, text: &str, context: &Context) {
    tell(What::Handled, service, order, id, text, context);
}

/// The same, where the order has come to an end.
pub(crate) fn ended(service: &str, order: &str, id: &str, text: &str, context: &Context) {
    tell(What::Ended, service, order, id, text, context);
}

fn tell(what: What, service: &str, order: &str, id: &str, text: &str, context: &Context) {
    let span = context.span().span_context().clone();
    let flags = span.trace_flags().to_u8();
    let traceparent = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    let log = format!("INFO {service}: {text} order={order} traceparent={traceparent}");
    self::log(service, &log);
    let said = Said { service: service.to_owned(), what, ..Said::default() };
    say(&Said { order: order.to_owned(), id: id.to_owned(), log, ..said });
}

/// Writes a line into the log.
pub(crate) fn log(service: &str, line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "[{service}] {line}");
}
