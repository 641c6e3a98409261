//! An order as it travels: the body of every message.

use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// `order-4711`: the business key.
    pub order: String,
    /// What is to go wrong with it on the way.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
}

/// Something that goes wrong with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// Analytics cannot count it: it alone of its batch is dead-lettered on Kafka.
    Uncounted,
    /// Payment's bank answers only when it is asked again: a retry in place.
    BankBusy,
    /// The bank is away for longer: a retry through Kafka's retry topic.
    BankAway,
    /// Fulfilment gives it back to RabbitMQ; the redelivery succeeds.
    WarehouseBusy,
    /// Fulfilment gives it up: a dead letter on RabbitMQ, which support sends back.
    CardBlocked,
    /// Shipping naks it; the second delivery by JetStream succeeds.
    CarrierBusy,
    /// Shipping gives it up after the second delivery: a dead letter on JetStream.
    NoAddress,
    /// Notify asks RocketMQ for it again, later.
    MailBusy,
    /// Notify gives it up after the second delivery: a dead letter of RocketMQ's own.
    MailRefused,
}

/// Number of the first order of all.
pub(crate) const FIRST_ORDER: u32 = 4_700;
/// So many orders come together first, in one batch, and analytics reads them; the last of all comes alone.
pub(crate) const BATCH: u32 = 5;

impl Order {
    /// The order at `index` out of `count`, where the first is number `first`: of ten orders most meet one trouble
    /// each, and the last one meets every trouble that it can still go on from.
    pub fn planned(first: u32, index: u32, count: u32) -> Self {
        let last = [Trouble::BankBusy, Trouble::WarehouseBusy, Trouble::CarrierBusy, Trouble::MailBusy];
        let troubles = match index % 10 {
            _ if index + 1 == count => last.to_vec(),
            1 => vec![Trouble::BankBusy],
            // Analytics never comes to the later ones.
            2 if index < BATCH => vec![Trouble::Uncounted],
            3 => vec![Trouble::WarehouseBusy],
            4 => vec![Trouble::BankAway],
            5 => vec![Trouble::CarrierBusy],
            7 => vec![Trouble::CardBlocked],
            8 => vec![Trouble::NoAddress],
            9 => vec![Trouble::MailBusy],
            0 if index > 0 => vec![Trouble::MailRefused],
            _ => Vec::new(),
        };
        Self { order: format!("order-{}", first.saturating_add(index)), troubles }
    }

    /// Whether that is to go wrong.
    pub fn meets(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    /// Where it ends: one message that somebody reads last, and a dead letter of analytics beside it.
    pub fn ends(&self) -> usize {
        1 + usize::from(self.meets(Trouble::Uncounted))
    }

    /// Who brings it.
    pub fn carrier(&self) -> &'static str {
        if self.order.ends_with(['1', '3', '5', '7', '9']) { "rail" } else { "road" }
    }

    /// The `message_id` that payment sets on RabbitMQ.
    pub fn payment_id(&self) -> String {
        format!("{}-payment", self.order)
    }

    /// The `Nats-Msg-Id` that fulfilment sets.
    pub fn shipment_id(&self) -> String {
        format!("{}-shipment", self.order)
    }

    /// As the body of a message.
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Out of the body of a message.
    pub fn from_body(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body).map_err(|error| Refusal::new("not_an_order", error))
    }
}

/// Why a service could not do its part: `error.type` in few words, and a sentence for people.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub kind: &'static str,
    text: String,
}

impl Refusal {
    pub fn new(kind: &'static str, text: impl std::fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }
}

impl From<&Refusal> for hopscope_sdk::Failure {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.kind, &refusal.text)
    }
}
