//! `hopscope demo`: the order flow into a fresh store, sent by OTLP over loopback as any service would.

use crate::args::{DemoArgs, ServeArgs};
use crate::config;
use crate::draw::{self, Ink};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::remote;
use crate::serve;
use anyhow::Context;
use hopscope_client::{Client, api::MessageAnswer};
use hopscope_server::{Running, Server};
use hopscope_wire::order_flow::{OrderFlow, duration_ns, order_flow, order_flow_metrics};
use hopscope_wire::otlp::{ResourceData, encode_metrics_request, encode_request};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Steps of causes and effects that are fetched for the printed story.
const DEPTH: u32 = 4;

pub async fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    let (data, temporary) = folder(args)?;
    let listen = if args.once { "127.0.0.1:0".to_owned() } else { args.listen.clone() };
    let loaded = config::load(&ServeArgs {
        data: Some(data.clone()),
        listen: Some(listen),
        otlp_grpc: Some(free_port_unless_default(args, 4317)),
        otlp_http: Some(free_port_unless_default(args, 4318)),
        ..ServeArgs::default()
    })?;
    serve::log(if args.once { "warn" } else { &loaded.config.log });
    let running = Server::start(loaded.config).await.map_err(serve::failure)?;
    let told = play_and_tell(args, &running, &data).await;
    let stopped = running.stop().await.map_err(serve::failure);
    if temporary {
        // The store was ours and only for this run; what cannot be removed is left to the system's cleaner.
        let _ = std::fs::remove_dir_all(&data);
    }
    stopped?;
    told
}

async fn play_and_tell(args: &DemoArgs, running: &Running, data: &std::path::Path) -> anyhow::Result<Exit> {
    let addresses = running.addresses;
    let flow = play(addresses.otlp_http, args.orders).await?;
    let client = remote::client(&format!("http://{}", addresses.http))?;
    let answer = story(&client, &flow).await?;
    if args.json {
        output::json(&answer)?;
        return Ok(Exit::Done);
    }
    output::print(&draw::message(&answer, Ink::of_stdout()));
    if args.once {
        return Ok(Exit::Done);
    }
    invite(addresses.http, addresses.otlp_grpc, &flow, data);
    serve::until_told_to_stop().await?;
    Ok(Exit::Done)
}

/// The given folder, which is kept, or a temporary one, which is not.
fn folder(args: &DemoArgs) -> anyhow::Result<(PathBuf, bool)> {
    if let Some(data) = &args.data {
        return Ok((data.clone(), false));
    }
    let folder = std::env::temp_dir().join(format!("hopscope-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make a folder path={}", folder.display()))?;
    Ok((folder, true))
}

/// The usual port where the page has its usual address and nobody else has it: a newcomer's own service then
/// reaches the demo without configuration.
fn free_port_unless_default(args: &DemoArgs, port: u16) -> String {
    let free = || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let usual = !args.once && args.listen == "127.0.0.1:7400";
    format!("127.0.0.1:{}", if usual && free() { port } else { 0 })
}

/// Plays the flow so that it ends now, each service sending its own request.
async fn play(otlp_http: SocketAddr, orders: u32) -> anyhow::Result<OrderFlow> {
    let now_ns = hopscope_server::now_ns();
    let flow = order_flow(now_ns - duration_ns(orders), orders, now_ns.unsigned_abs());
    let http = reqwest::Client::new();
    let traces = flow.resources.iter().flat_map(requests).map(|request| ("traces", request));
    let metrics = ("metrics", encode_metrics_request(&order_flow_metrics(&flow)));
    for (signal, body) in traces.chain([metrics]) {
        let answer = http
            .post(format!("http://{otlp_http}/v1/{signal}"))
            .header("content-type", "application/x-protobuf")
            .body(body)
            .send()
            .await
            .context("cannot send the order flow")?;
        if !answer.status().is_success() {
            return Err(Failure::new(
                Exit::Failed,
                format!("the server refused the order flow status={}", answer.status()),
            )
            .into());
        }
    }
    Ok(flow)
}

/// Spans of one request: far below what a server takes at a time.
const REQUEST_SPANS: usize = 2_000;

/// What one service sends.
fn requests(of: &ResourceData) -> impl Iterator<Item = Vec<u8>> {
    of.spans.chunks(REQUEST_SPANS).map(|spans| {
        let (attributes, scope) = (of.attributes.clone(), of.scope.clone());
        encode_request(&[ResourceData { attributes, scope, spans: spans.to_vec() }])
    })
}

/// The Kafka message of the last order, found by its business key as a person would.
async fn story(client: &Client, flow: &OrderFlow) -> anyhow::Result<MessageAnswer> {
    let found = client.find(&flow.key, 50, None).await.map_err(remote::failure)?;
    let order = found.messages.iter().find(|message| message.system == "kafka").ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("the order was sent and is not found key={}", flow.key))
    })?;
    client.message(&order.reference, DEPTH).await.map_err(remote::failure)
}

fn invite(page: SocketAddr, otlp_grpc: SocketAddr, flow: &OrderFlow, data: &std::path::Path) {
    let OrderFlow { key, nats_message_id, offset, trace, .. } = flow;
    output::print(&format!(
        "Open   http://{page}/find?q={key}

Three things to try:
  1. paste an id into the box: {nats_message_id}, orders/0/{offset} or {trace}
  2. in another terminal:      hopscope find 'state:dead_lettered' --server http://{page}
  3. send your own traces:     OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp_grpc} your-service

The store is in {}. Press Ctrl-C to stop.
",
        data.display()
    ));
}
