//! The JSON of the API v1 and a typed client for it.
