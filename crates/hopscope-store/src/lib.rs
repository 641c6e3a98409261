//! The Store contract, its test kit, the memory and the embedded implementation.
