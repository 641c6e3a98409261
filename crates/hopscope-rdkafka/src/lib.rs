//! Traced producer and consumer for rdkafka.
