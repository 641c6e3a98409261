//! The contract kit against the memory store.

use hopscope_store::{kit, memory::Memory};
use std::sync::Arc;

hopscope_store::store_kit!(kit::Subject::new(Arc::new(Memory::new())));
