//! The JSON of the API v1 ([`api`]) and a typed client for it.

pub mod api;
