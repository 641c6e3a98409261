//! Against a real RocketMQ: `cargo xtask test` starts one. One program, because most of the time it waits: for
//! rebalances, delay levels and transaction checks of the broker, and those waits run side by side.
#![recursion_limit = "512"]

mod batch;
mod dead_letter;
mod exchange;
mod foreign;
mod kit;
mod listen;
mod proxy;
mod pull;
mod readme;
mod rebalance;
mod request;
mod restart;
mod run;
mod send;
mod shutdown;
mod sink;
mod transaction;
