//! The contract kit against the embedded store: as appended, sealed after every append, reopened after every
//! append, merged after every append, sealed and merged by itself all the time, and on a real disk.

use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::{Store, kit};
use std::sync::Arc;

fn open_with(dir: &SimDir, options: Options) -> Arc<Embedded> {
    Arc::new(Embedded::open_in(Arc::new(dir.clone()), options).expect("open"))
}

fn open(dir: &SimDir) -> Arc<Embedded> {
    open_with(dir, Options::default())
}

mod in_memory {
    use super::*;
    hopscope_store::store_kit!(kit::Subject::new(open(&SimDir::new())));
}

mod sealed {
    use super::*;

    fn subject() -> kit::Subject {
        let embedded = open(&SimDir::new());
        let store: Arc<dyn Store> = Arc::<Embedded>::clone(&embedded);
        kit::Subject::new(store).with_hook(move |store| {
            let embedded = Arc::clone(&embedded);
            Box::pin(async move {
                embedded.seal().await.expect("seal");
                store
            })
        })
    }
    hopscope_store::store_kit!(subject());
}

mod merged {
    use super::*;

    fn subject() -> kit::Subject {
        let embedded = open(&SimDir::new());
        let store: Arc<dyn Store> = Arc::<Embedded>::clone(&embedded);
        kit::Subject::new(store).with_hook(move |store| {
            let embedded = Arc::clone(&embedded);
            Box::pin(async move {
                embedded.seal().await.expect("seal");
                embedded.compact().await.expect("compact");
                store
            })
        })
    }
    hopscope_store::store_kit!(subject());
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

mod sealed_and_reopened {
    use super::*;

    fn subject() -> kit::Subject {
        let dir = SimDir::new();
        kit::Subject::new(open(&dir)).with_hook(move |store| {
            drop(store);
            let dir = dir.clone();
            Box::pin(async move {
                open(&dir).seal().await.expect("seal");
                open(&dir) as Arc<dyn Store>
            })
        })
    }
    hopscope_store::store_kit!(subject());
}

mod sealing_and_merging_in_the_background {
    use super::*;

    fn subject() -> kit::Subject {
        let options =
            Options { seal_rows: 4, compact_segments_max: 2, metadata_bytes_max: 1, ..Options::default() };
        kit::Subject::new(open_with(&SimDir::new(), options))
    }
    hopscope_store::store_kit!(subject());
}

mod on_a_real_disk {
    use super::*;

    fn subject() -> kit::Subject {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let open = move || Arc::new(Embedded::open(&path, Options::default()).expect("open"));
        kit::Subject::new(open()).holding(folder).with_hook(move |store| {
            drop(store);
            let open = open.clone();
            Box::pin(async move {
                open().seal().await.expect("seal");
                open() as Arc<dyn Store>
            })
        })
    }
    hopscope_store::store_kit!(subject());
}
