//! Against a real NATS server: `cargo xtask test` starts one. One program, because linking takes its time.

mod consume;
mod core;
mod dead_letter;
mod exchange;
mod interop;
mod kit;
mod readme;
mod retry;
mod send;
mod settle;
mod shutdown;
mod sink;
