//! `/api/v1/live`: what is being stored, as it happens, at most four times a second.

use super::{Api, Failure, json};
use crate::live::{Live, Note};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use hopscope_client::api::{self, Int64};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

/// What is gathered into one event of the stream.
const GATHER: Duration = Duration::from_millis(250);
/// A comment when nothing happens, so that whoever listens knows that the server is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Server-sent events, each with a `Live` as its data.
#[utoipa::path(get, path = "/api/v1/live", responses((status = 200, body = api::Live, content_type = "text/event-stream")))]
pub(super) async fn live(
    State((api, stop)): State<(Arc<Api>, CancellationToken)>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let streams_max = api.config.live_streams_max;
    if api.live.listeners() >= streams_max {
        return Err(Failure::busy(format!("too many live streams live_streams_max={streams_max}")));
    }
    let listener =
        Listener { notes: api.live.listen(), told: api.live.events(), live: Arc::clone(&api.live), stop };
    let stream = futures::stream::unfold(listener, |mut listener| async move {
        let told = listener.next().await?;
        Some((Ok(Event::default().data(json::text(&told))), listener))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

struct Listener {
    notes: broadcast::Receiver<Arc<Note>>,
    live: Arc<Live>,
    told: u64,
    stop: CancellationToken,
}

impl Listener {
    /// Waits for a note, then gathers for a quarter of a second. `None` when the server stops.
    async fn next(&mut self) -> Option<api::Live> {
        let mut all = Note::default();
        tokio::select! {
            () = self.stop.cancelled() => return None,
            received = self.notes.recv() => add(&mut all, received)?,
        }
        tokio::select! {
            () = self.stop.cancelled() => return None,
            () = tokio::time::sleep(GATHER) => {}
        }
        loop {
            match self.notes.try_recv() {
                Ok(note) => all.add(&note),
                Err(broadcast::error::TryRecvError::Lagged(_)) => all.cut = true,
                Err(_) => break,
            }
        }
        let events = self.live.events();
        let since = events - std::mem::replace(&mut self.told, events);
        Some(api::Live {
            events: Int64(i64::try_from(since).unwrap_or(i64::MAX)),
            trace_ids: all.trace_ids,
            destinations: all.destinations,
            cut: all.cut,
        })
    }
}

fn add(all: &mut Note, received: Result<Arc<Note>, RecvError>) -> Option<()> {
    match received {
        Ok(note) => all.add(&note),
        Err(RecvError::Lagged(_)) => all.cut = true,
        Err(RecvError::Closed) => return None,
    }
    Some(())
}
