//! Request and reply.

use super::TracedProducer;
use super::sending::{Kind, start};
use crate::carrier::ReadHeaders;
use crate::failure::failure;
use crate::names;
use crate::origin::property;
use crate::received::topic_alone;
use hopscope_sdk::{Body, Details};
use rocketmq_client_rust::ClientResult;
use rocketmq_model::common::message::MessageTrait;

impl TracedProducer {
    /// [`DefaultMQProducer::request`](rocketmq_client_rust::DefaultMQProducer::request), traced until the reply, which
    /// is received as a child of the request and links to the send that made it. A time-out is a failure.
    ///
    /// # Errors
    /// The client's own.
    pub async fn request<M>(
        &self,
        mut message: M,
        timeout_ms: u64,
    ) -> ClientResult<Box<dyn MessageTrait + Send>>
    where
        M: MessageTrait + Send + Sync,
    {
        let open = start(&self.telemetry, "request", &mut message, Kind::Plain, None);
        match self.producer.request(message, timeout_ms).await {
            Ok(reply) => {
                let properties = reply.get_properties();
                let details = Details {
                    correlation_id: property(properties, names::CORRELATION_ID),
                    body_bytes: reply.get_body().map(|body| body.len() as u64),
                    body: Body(reply.get_body().map_or(&[], |body| body)),
                    ..Details::default()
                };
                {
                    let _request = open.sending.context().clone().attach();
                    let place = topic_alone(reply.topic());
                    self.telemetry.receive("receive", place, &details, &ReadHeaders(properties));
                }
                open.sending.accepted();
                Ok(reply)
            }
            Err(error) => {
                open.fail(failure(&error));
                Err(error)
            }
        }
    }
}
