//! `hopscope serve`: runs until it is told to stop.

use crate::args::ServeArgs;
use crate::config;
use crate::exit::{Exit, Failure};
use crate::output;
use hopscope_server::{ErrorKind, Running, Server};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

pub async fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    let loaded = config::load(args)?;
    log(&loaded.config.log);
    let data = loaded.config.data.clone();
    let running = Server::start(loaded.config).await.map_err(failure)?;
    announce(&running, &data);
    until_told_to_stop().await?;
    eprintln!("stopping: taking nothing new, finishing what is under way");
    running.stop().await.map_err(failure)?;
    Ok(Exit::Done)
}

/// One line each on standard output: a script that chose port 0 reads them.
fn announce(running: &Running, data: &str) {
    let addresses = running.addresses;
    output::line(&format!("hopscope {}", env!("CARGO_PKG_VERSION")));
    output::line(&format!("page and API  http://{}", addresses.http));
    output::line(&format!("OTLP/gRPC     http://{}", addresses.otlp_grpc));
    output::line(&format!("OTLP/HTTP     http://{}", addresses.otlp_http));
    output::line(&format!("store         {data}"));
}

/// SIGTERM, or the terminal's interrupt.
pub async fn until_told_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Log lines on standard error; `filter` is the setting `log`.
pub fn log(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second call (a test in one process) keeps the first one's filter.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .try_init();
}

/// The server's errors with exit codes.
pub fn failure(error: hopscope_server::Error) -> anyhow::Error {
    let exit = match error.kind {
        ErrorKind::Usage => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure { exit, message: error.to_string(), hint: error.hint().map(str::to_owned) }.into()
}
