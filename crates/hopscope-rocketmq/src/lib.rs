//! Traced producer and consumer for rocketmq-client-rust.
