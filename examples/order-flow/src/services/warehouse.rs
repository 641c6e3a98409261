//! Requests on core NATS in, replies out.

use crate::names::Names;
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::{Context as _, Result};
use async_nats::HeaderMap;
use hopscope_async_nats::TracedClient;
use hopscope_sdk::Failure;

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let client = TracedClient::new(common.brokers.nats("warehouse").await?);
    let mut requests = client.queue_subscribe(names.reserve.clone(), names.warehouse.clone()).await?;
    // Known to the server, before anybody asks.
    client.inner().flush().await?;
    report::ready("warehouse", "");
    loop {
        let request = tokio::select! {
            request = requests.next() => request.context("NATS ended the subscription")?,
            () = stop.requested() => return Ok(()),
        };
        let work = request.process();
        match work.run(client.reply(request.message(), HeaderMap::new(), "reserved".into())).await {
            Ok(_) => drop(work.succeed()),
            Err(error) => drop(work.fail(Failure::from(&error))),
        }
    }
}
