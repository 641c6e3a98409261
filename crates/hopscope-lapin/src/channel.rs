//! [`TracedChannel`]: lapin's channel with traced verbs.

use crate::carrier::ReadHeaders;
use crate::consumer::TracedConsumer;
use crate::publish::Returned;
use crate::receive::receive;
use hopscope_sdk::{Headers, Server, Telemetry, Traced};
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicConsumeOptions, BasicGetOptions};
use lapin::types::{FieldTable, ShortString};
use std::sync::Arc;

/// A [`Channel`] whose publishes, consumers and gets are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracedChannel {
    pub(crate) channel: Channel,
    pub(crate) settings: Arc<Settings>,
    /// Shared by all clones: it is about the channel.
    pub(crate) returned: Arc<Returned>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub telemetry: Telemetry,
    server: Option<(String, u16)>,
    key_headers: Vec<String>,
}

impl TracedChannel {
    /// Around a channel, with the global telemetry: call `hopscope_sdk::setup` before.
    pub fn new(channel: Channel) -> Self {
        let settings = Settings { telemetry: Telemetry::global(), server: None, key_headers: Vec::new() };
        Self { channel, settings: Arc::new(settings), returned: Arc::default() }
    }

    /// The same, with telemetry of its own.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        Arc::make_mut(&mut self.settings).telemetry = telemetry;
        self
    }

    /// Names the broker in the spans (`server.address`, `server.port`): lapin does not tell a channel's.
    #[must_use]
    pub fn with_server(mut self, address: impl Into<String>, port: u16) -> Self {
        Arc::make_mut(&mut self.settings).server = Some((address.into(), port));
        self
    }

    /// Headers whose values are business keys (`order-id`): recorded when sent and when received. AMQP has no key
    /// of its own. The first is what [`Order::ByKey`](hopscope_sdk::work::Order::ByKey) goes by.
    #[must_use]
    pub fn with_key_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        Arc::make_mut(&mut self.settings).key_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// lapin's channel, untraced: topology, `confirm_select`, `basic_qos`.
    pub fn inner(&self) -> &Channel {
        &self.channel
    }

    /// [`Channel::basic_consume`], traced: each delivery that the stream gives is a receive.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn basic_consume(
        &self,
        queue: ShortString,
        consumer_tag: ShortString,
        options: BasicConsumeOptions,
        arguments: FieldTable,
    ) -> lapin::Result<TracedConsumer> {
        let consumer = self.channel.basic_consume(queue, consumer_tag, options, arguments).await?;
        Ok(TracedConsumer::new(consumer, self.clone(), options.no_ack))
    }

    /// [`Channel::basic_get`], traced; an empty queue is no receive.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn basic_get(
        &self,
        queue: ShortString,
        options: BasicGetOptions,
    ) -> lapin::Result<Option<Traced<BasicGetMessage>>> {
        let message = self.channel.basic_get(queue.clone(), options).await?;
        Ok(message.map(|message| {
            let delivery = receive(&self.settings, "get", queue.as_str(), "", &message.delivery);
            Traced::new(message, delivery)
        }))
    }
}

impl Settings {
    pub fn server(&self) -> Option<Server<'_>> {
        self.server.as_ref().map(|(address, port)| Server { address, port: *port })
    }

    /// Values of the key headers that are text.
    pub fn keys(&self, headers: Option<&FieldTable>) -> Vec<String> {
        let mut keys = Vec::new();
        for name in &self.key_headers {
            ReadHeaders(headers).get_all(name, &mut |value| {
                let key = value.and_then(|bytes| std::str::from_utf8(bytes).ok());
                keys.extend(key.filter(|key| !key.is_empty()).map(str::to_owned));
            });
        }
        keys
    }
}

pub(crate) fn text(value: &Option<ShortString>) -> &str {
    value.as_ref().map(ShortString::as_str).unwrap_or_default()
}
