//! Any bytes through every decoder: must not panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hopscope_wire::fuzz_entry(bytes));
