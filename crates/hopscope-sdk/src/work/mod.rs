//! Handlers at work side by side: what a concurrent consumer of any broker is made of.
//!
//! [`Workers`] runs them, bounded and in order where order matters; [`Offsets`] says how far a lane may be committed
//! meanwhile; [`BatchOutcome`] says which messages of a batch failed. None of them knows a broker.

mod offsets;
mod outcome;
mod pool;
mod queue;
mod workers;

pub use offsets::{InFlight, Offsets};
pub use outcome::BatchOutcome;
pub use workers::{Drained, End, Ended, Full, Lane, Order, Revoked, Slot, Task, Workers, WorkersConfig};
