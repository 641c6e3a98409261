//! A TCP proxy before a real broker, for real cuts.
//!
//! Kafka's clients connect to the address that the broker tells them, so the proxy puts its own port in place of the
//! broker's in the answers: `127.0.0.1`, then the port as four bytes, as metadata and coordinator answers have it.

use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Forwards while the connection is there.
pub struct Proxy {
    port: u16,
    is_cut: Arc<watch::Sender<bool>>,
    refused: Arc<watch::Sender<usize>>,
    accepting: AbortHandle,
}

impl Proxy {
    pub async fn to(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (is_cut, refused) = (Arc::new(watch::Sender::new(false)), Arc::new(watch::Sender::new(0)));
        let broker = broker.to_owned();
        let accepting = tokio::spawn({
            let (is_cut, refused) = (Arc::clone(&is_cut), Arc::clone(&refused));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    if *is_cut.borrow() {
                        refused.send_modify(|count| *count += 1);
                        continue;
                    }
                    let server = TcpStream::connect(&broker).await.expect("the broker is there");
                    let broker_port = server.peer_addr().expect("connected").port();
                    tokio::spawn(forward(client, server, broker_port, port, is_cut.subscribe()));
                }
            }
        });
        Self { port, is_cut, refused, accepting: accepting.abort_handle() }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Every connection ends, and new ones are refused.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets connections through again once one was refused.
    pub async fn restore_after_a_refusal(&self) {
        let mut refused = self.refused.subscribe();
        refused.wait_for(|count| *count > 0).await.expect("the sender is here");
        self.is_cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(
    client: TcpStream,
    server: TcpStream,
    from: u16,
    to: u16,
    mut is_cut: watch::Receiver<bool>,
) {
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        _ = is_cut.wait_for(|cut| *cut) => {}
        () = copy(client_read, server_write, None) => {}
        () = copy(server_read, client_write, Some((from, to))) => {}
    }
}

/// Until either side ends.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, ports: Option<(u16, u16)>) {
    loop {
        // One answer at a time: its length, then itself.
        let Ok(length) = from.read_u32().await else { return };
        let mut bytes = vec![0; length as usize];
        if from.read_exact(&mut bytes).await.is_err() {
            return;
        }
        if let Some((broker, own)) = ports {
            let address = |port: u16| [b"127.0.0.1".as_slice(), &u32::from(port).to_be_bytes()].concat();
            let (old, new) = (address(broker), address(own));
            for at in 0..bytes.len().saturating_sub(old.len() - 1) {
                if bytes[at..].starts_with(&old) {
                    bytes[at..at + new.len()].copy_from_slice(&new);
                }
            }
        }
        if to.write_u32(length).await.is_err() || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
