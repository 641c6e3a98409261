//! Names of topics, queues, streams and groups, all with the suffix of the run.

/// The names of one run.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Names {
    /// Kafka topic, and those of orders that are tried again, or were given up.
    pub orders: String,
    pub orders_retry: String,
    pub orders_dead: String,
    /// Kafka groups.
    pub payment: String,
    pub analytics: String,
    /// RabbitMQ exchange, and its queue.
    pub payments: String,
    pub fulfilment: String,
    /// RabbitMQ dead-letter exchange, and its queue.
    pub payments_dlx: String,
    pub payments_dead: String,
    /// Subject and queue group of requests on core NATS.
    pub reserve: String,
    pub warehouse: String,
    /// JetStream stream and consumer; its subjects are one a carrier: [`Names::shipment`].
    pub stream: String,
    pub shipments: String,
    pub shipping: String,
    /// JetStream stream of dead letters, and its subject.
    pub stream_dead: String,
    pub shipments_dead: String,
    /// RocketMQ topic and group, and where the broker puts what that group gave up.
    pub notifications: String,
    pub notify: String,
    pub notifications_dead: String,
    /// Who reads dead letters: the group on Kafka and RocketMQ, the consumer on JetStream.
    pub support: String,
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
            orders_retry: name("orders.retry"),
            orders_dead: name("orders.dead"),
            payment: name("payment"),
            analytics: name("analytics"),
            payments: name("payments"),
            fulfilment: name("fulfilment"),
            payments_dlx: name("payments.dlx"),
            payments_dead: name("payments.dead"),
            reserve: format!("{}.reserve", name("warehouse")),
            warehouse: name("warehouse"),
            stream: name("SHIPMENTS"),
            shipments: name("shipments"),
            shipping: name("shipping"),
            stream_dead: name("SHIPMENTS_DEAD"),
            shipments_dead: format!("dead.{}", name("shipments")),
            notifications: name("notifications"),
            notify: name("notify"),
            notifications_dead: format!("%DLQ%{}", name("notify")),
            support: name("support"),
        }
    }

    /// The subject of that carrier's shipments.
    pub fn shipment(&self, carrier: &str) -> String {
        format!("{}.{carrier}", self.shipments)
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
