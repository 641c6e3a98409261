//! How answers look in a terminal. Pure: an answer and a style in, text out.

mod doctor;
mod ink;
mod message;
mod rates;
mod table;
mod time;

pub use doctor::doctor;
pub use ink::Ink;
pub use message::message;
pub use rates::rates;
pub use table::{found, settings, table};
pub use time::{clock, short_duration};
