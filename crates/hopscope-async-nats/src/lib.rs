//! Traced producer and consumer for async-nats.
