//! The client's errors in few words.

use hopscope_sdk::Failure;
use rocketmq_client_rust::ClientError;

/// `error.type` is the broker's response code where it gave one, else the client's own code
/// (`transport.connection.failed`).
pub(crate) fn failure(error: &ClientError) -> Failure {
    match error.broker_response_code() {
        Some(code) => Failure::new(format!("broker.{code}"), error),
        None => Failure::new(error.descriptor().code().to_string(), error),
    }
}
