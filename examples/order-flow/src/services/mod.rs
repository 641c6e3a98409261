//! The services, one a file: what each reads, does and sends on.

pub(crate) mod analytics;
pub(crate) mod checkout;
pub(crate) mod fulfilment;
pub(crate) mod notify;
pub(crate) mod payment;
pub(crate) mod shipping;
pub(crate) mod support;
pub(crate) mod warehouse;
