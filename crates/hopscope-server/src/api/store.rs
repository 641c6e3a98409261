//! `/api/v1/store`.

use super::{Api, Failure};
use crate::clock::now_ns;
use crate::storage;
use axum::Json;
use axum::extract::State;
use hopscope_client::api::StoreAnswer;
use hopscope_store::embedded::Disk;
use std::path::Path;
use std::sync::Arc;

/// What is stored takes on the disk: by day, level and destination; how fast it grows, and when the disk will be full.
#[utoipa::path(get, path = "/api/v1/store", responses((status = 200, body = StoreAnswer)))]
pub(super) async fn store(State(api): State<Arc<Api>>) -> Result<Json<StoreAnswer>, Failure> {
    let Some(embedded) = &api.embedded else {
        return Err(Failure::not_found("this server keeps nothing on disk")
            .with_hint("start it with a folder: --data DIR"));
    };
    let space = embedded.space().await?;
    let disk = Disk::of(Path::new(&api.config.data)).ok();
    Ok(Json(storage::answer(&space, disk, &api.config, now_ns())))
}
