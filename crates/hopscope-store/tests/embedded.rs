//! The contract kit against the embedded store: as appended, and reopened after every append.

use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::{Store, kit};
use std::sync::Arc;

fn open(dir: &SimDir) -> Arc<Embedded> {
    Arc::new(Embedded::open_in(Arc::new(dir.clone()), Options::default()).expect("open"))
}

mod in_memory {
    use super::*;
    hopscope_store::store_kit!(kit::Subject::new(open(&SimDir::new())));
}

mod replayed {
    use super::*;

    fn subject() -> kit::Subject {
        let dir = SimDir::new();
        kit::Subject::new(open(&dir)).with_hook(move |store| {
            drop(store);
            let next: Arc<dyn Store> = open(&dir);
            Box::pin(async move { next })
        })
    }
    hopscope_store::store_kit!(subject());
}
