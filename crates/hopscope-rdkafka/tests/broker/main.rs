//! Against a real Kafka: `cargo xtask test` starts one. One program, because linking librdkafka takes its time.

mod batch;
mod consume;
mod dead_letter;
mod exchange;
mod interop;
mod kit;
mod readme;
mod restart;
mod retry;
mod run;
mod send;
mod settle;
mod shutdown;
mod sink;
mod transaction;
