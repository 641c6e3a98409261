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

/// Something that goes wrong once with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// Fulfilment gives it back to RabbitMQ; the redelivery succeeds.
    Refused,
    /// Fulfilment rejects it: RabbitMQ dead-letters it.
    DeadLettered,
    /// Shipping naks it; the second delivery succeeds.
    Nak,
    /// Notify asks RocketMQ for it again, later.
    ReconsumeLater,
}

/// Number of the first order of all.
pub(crate) const FIRST_ORDER: u32 = 4_700;

impl Order {
    /// The order at `index` out of `count`, where the first is number `first`: of ten orders four meet one trouble each, and the last one meets every
    /// trouble but the dead letter.
    pub fn planned(first: u32, index: u32, count: u32) -> Self {
        let troubles = match index % 10 {
            _ if index + 1 == count => vec![Trouble::Refused, Trouble::Nak, Trouble::ReconsumeLater],
            3 => vec![Trouble::Refused],
            5 => vec![Trouble::Nak],
            7 => vec![Trouble::DeadLettered],
            9 => vec![Trouble::ReconsumeLater],
            _ => Vec::new(),
        };
        Self { order: format!("order-{}", first.saturating_add(index)), troubles }
    }

    /// Whether that is to go wrong.
    pub fn meets(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
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
    pub fn from_body(body: &[u8]) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(body)?)
    }
}
