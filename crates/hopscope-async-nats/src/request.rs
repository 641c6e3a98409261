//! Requests and replies on core NATS.

use crate::client::{TracedClient, as_server, failure, receive};
use crate::{NatsHeaders, headers::message_id};
use async_nats::client::PublishError;
use async_nats::subject::ToSubject;
use async_nats::{HeaderMap, Message, Request, RequestError};
use bytes::Bytes;
use hopscope_sdk::{Body, Details, Place, Traced};

impl TracedClient {
    /// Sends a request and waits for its reply; see [`Client::request`](async_nats::Client::request).
    ///
    /// The request is a send span that ends with the reply. No reply in time (`TimedOut`) and nobody who listens
    /// (`NoResponders`) are failures of it. The reply is received under the request's span and linked to the responder's.
    /// Dropped before, the request is recorded as unknown.
    ///
    /// # Errors
    /// The client's; it is in the span too.
    pub async fn request<S: ToSubject>(
        &self,
        subject: S,
        payload: Bytes,
    ) -> Result<Traced<Message>, RequestError> {
        self.send_request(subject, Request::new().payload(payload)).await
    }

    /// The same with headers, a time-out or an inbox of your own; see
    /// [`Client::send_request`](async_nats::Client::send_request).
    ///
    /// # Errors
    /// The client's; it is in the span too.
    pub async fn send_request<S: ToSubject>(
        &self,
        subject: S,
        mut request: Request,
    ) -> Result<Traced<Message>, RequestError> {
        let subject = subject.to_subject();
        let mut headers = request.headers.take().unwrap_or_default();
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: message_id(Some(&headers)),
            body_bytes: Some(request.payload.as_ref().map_or(0, Bytes::len) as u64),
            body: Body(request.payload.as_deref().unwrap_or_default()),
            ..Details::default()
        };
        let place = Place::Nats { subject: &subject };
        let sending = self.telemetry.send("request", place, &details);
        sending.inject(&mut NatsHeaders(&mut headers));
        request.headers = Some(headers);
        match self.inner().send_request(subject.clone(), request).await {
            Ok(reply) => {
                let delivery = {
                    let _request = sending.context().clone().attach();
                    receive(&self.telemetry, self.server.as_ref(), "", &reply.subject, &reply)
                };
                let details = Details { correlation_id: &reply.subject, ..Details::default() };
                sending.confirm(place, &details);
                Ok(Traced::new(reply, delivery))
            }
            Err(error) => {
                sending.fail(failure(&error.kind(), &error));
                Err(error)
            }
        }
    }

    /// Replies to a request; `false` where it asks for no reply. Call it within the work on the request
    /// ([`Processing::run`](hopscope_sdk::Processing::run)), so that the reply is its effect.
    ///
    /// # Errors
    /// The client's; it is in the span too.
    pub async fn reply(
        &self,
        request: &Message,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<bool, PublishError> {
        let Some(reply_to) = request.reply.clone() else { return Ok(false) };
        self.publish_in(reply_to.clone(), headers, payload, &reply_to).await?;
        Ok(true)
    }
}
