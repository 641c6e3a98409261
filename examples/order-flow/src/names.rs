//! Names of topics, queues, streams and groups, all with the suffix of the run.

/// The names of one run.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Names {
    /// Kafka topic.
    pub orders: String,
    /// Kafka groups.
    pub payment: String,
    pub analytics: String,
    /// RabbitMQ exchange, and its queue.
    pub payments: String,
    pub fulfilment: String,
    /// RabbitMQ dead-letter exchange, and its queue.
    pub payments_dlx: String,
    pub payments_dead: String,
    /// JetStream stream, subject and consumer.
    pub stream: String,
    pub subject: String,
    pub shipping: String,
    /// RocketMQ topic and group.
    pub notifications: String,
    pub notify: String,
}

/// Routing key of a captured payment.
pub(crate) const CAPTURED: &str = "payment.captured";
/// Message header that holds the business key.
pub(crate) const ORDER_HEADER: &str = "order";

impl Names {
    pub fn new(suffix: &str) -> Self {
        let name = |name: &str| format!("{name}{suffix}");
        Self {
            orders: name("orders"),
            payment: name("payment"),
            analytics: name("analytics"),
            payments: name("payments"),
            fulfilment: name("fulfilment"),
            payments_dlx: name("payments.dlx"),
            payments_dead: name("payments.dead"),
            stream: name("SHIPMENTS"),
            subject: format!("{}.created", name("shipments")),
            shipping: name("shipping"),
            notifications: name("notifications"),
            notify: name("notify"),
        }
    }
}

/// A suffix that every broker takes in a name.
pub(crate) fn suffix(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    match text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, - and _ only".to_owned()),
    }
}
