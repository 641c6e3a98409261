//! `hopscope store export` and `import`.

use super::args::{ExportArgs, ImportArgs};
use super::{Reading, bytes_text, failure, folder_of, open_alone};
use crate::exit::{Exit, Failure};
use crate::output;
use hopscope_model::{Batch, Query, Tenant};
use hopscope_server::now_ns;
use hopscope_store::embedded::{Embedded, Import};
use hopscope_store::{Appended, Error, Store};
use serde_json::json;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Appends under way at a time: those that wait are made durable by one sync.
const APPENDS_MAX: usize = 64;

pub async fn export(args: &ExportArgs) -> anyhow::Result<Exit> {
    let (query, tenant) = (query_of(args)?, tenant_of(&args.tenant)?);
    let data = folder_of(&args.folder)?;
    let reading = tokio::task::spawn_blocking(move || Reading::open(&data)).await??;
    has_tenant(&reading.store, &tenant)?;
    let done = reading.store.export(&tenant, &query, now_ns(), &args.to).await.map_err(failure)?;
    if args.json {
        let (events, bytes) = (done.events.to_string(), done.bytes.to_string());
        let complete = done.why_not.is_empty();
        output::json(
            &json!({ "events": events, "bytes": bytes, "complete": complete, "why_not": done.why_not }),
        )?;
    } else {
        done.why_not.iter().for_each(|why| output::line(&format!("not searched  {why}")));
        let (events, bytes, to) = (done.events, bytes_text(done.bytes), args.to.display());
        output::line(&format!("wrote {events} events, {bytes}, to {to}"));
    }
    Ok(if done.why_not.is_empty() { Exit::Done } else { Exit::Partial })
}

/// The query that the flags make, in the words of the search box.
fn query_of(args: &ExportArgs) -> anyhow::Result<Query> {
    let term = |field: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!("{field}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
    };
    let terms = [term("since", &args.since), term("until", &args.until), term("dest", &args.destination)];
    let text: Vec<String> = terms.into_iter().flatten().collect();
    text.join(" ").parse().map_err(|error| {
        Failure::new(Exit::Usage, format!("{error}"))
            .hint("write times as 24h, 2026-11-21 or 2026-11-21T08:00:00Z")
            .into()
    })
}

pub(super) fn tenant_of(name: &str) -> anyhow::Result<Tenant> {
    Tenant::new(name).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("not a name of a tenant tenant={name}"))
            .hint("lower-case letters, digits, - and _")
            .into()
    })
}

pub(super) fn has_tenant(store: &Embedded, tenant: &Tenant) -> anyhow::Result<()> {
    let tenants = store.tenants();
    if tenants.contains(tenant) {
        return Ok(());
    }
    let names: Vec<&str> = tenants.iter().map(Tenant::name).collect();
    Err(Failure::new(Exit::NotFound, format!("nothing is stored of that tenant tenant={}", tenant.name()))
        .hint(format!("there is: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }))
        .into())
}

pub async fn import(args: &ImportArgs) -> anyhow::Result<Exit> {
    let tenant = tenant_of(&args.tenant)?;
    let data = folder_of(&args.folder)?;
    // All are looked at before the first is taken.
    let imports: Result<Vec<Import>, Error> =
        args.files.iter().map(|file| Import::open(file, &tenant)).collect();
    let imports = imports.map_err(failure)?;
    let store = Arc::new(tokio::task::spawn_blocking(move || open_alone(&data)).await??);
    // Identities are compared with what is in segments when it is settled: until then a repeat counts as new.
    let before = events(&store).await?;
    let mut total = Appended::default();
    for mut import in imports {
        loop {
            let (next, back) = tokio::task::spawn_blocking(move || (import.next(), import)).await?;
            import = back;
            let Some(batches) = next else { break };
            append(&store, batches.map_err(failure)?, &mut total).await?;
        }
    }
    let stored = events(&store).await?.saturating_sub(before);
    let already = (total.stored + total.duplicates).saturating_sub(stored);
    store.close().await.map_err(failure)?;
    if args.json {
        output::json(&json!({ "stored": stored.to_string(), "already_there": already.to_string() }))?;
    } else {
        output::line(&format!("stored {stored} events; {already} were there already"));
    }
    Ok(Exit::Done)
}

async fn events(store: &Embedded) -> anyhow::Result<u64> {
    Ok(store.check(hopscope_store::Depth::Quick).await.map_err(failure)?.events)
}

async fn append(store: &Arc<Embedded>, batches: Vec<Batch>, total: &mut Appended) -> anyhow::Result<()> {
    let mut under_way: JoinSet<Result<Appended, Error>> = JoinSet::new();
    let mut batches = batches.into_iter();
    loop {
        while under_way.len() < APPENDS_MAX
            && let Some(batch) = batches.next()
        {
            let store = Arc::clone(store);
            under_way.spawn(async move { store.append(batch).await });
        }
        let Some(appended) = under_way.join_next().await else { return Ok(()) };
        let appended = appended?.map_err(failure)?;
        total.stored += appended.stored;
        total.duplicates += appended.duplicates;
    }
}
