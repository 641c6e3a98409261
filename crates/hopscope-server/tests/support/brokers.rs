//! Real brokers: where they are, names of our own on them, and a wire to them that can be cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The address of a real broker, out of the environment: a test without its broker has not passed.
pub fn broker(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(address) if !address.is_empty() => address,
        _ => panic!("no broker to test against, variable={variable}\nhint: `cargo xtask test` starts one"),
    }
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{}-{}-{number}", std::process::id(), hopscope_server::now_ns())
}

/// A port that leads to a broker while it is whole.
pub struct Wire {
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
    forwarding: JoinHandle<()>,
}

impl Wire {
    /// `to` is an address and a port.
    pub async fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (whole, seen) = watch::channel(true);
        let to = to.to_owned();
        let forwarding = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (to, mut seen) = (to.clone(), seen.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = seen.wait_for(|whole| !whole) => {}
                        () = forward(near, &to) => {}
                    }
                });
            }
        });
        Self { address, whole, forwarding }
    }

    /// Ends every connection; new ones end at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// New connections lead to the broker again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward(mut near: TcpStream, to: &str) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    // How it ends is the business of the two ends.
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}
