//! A TCP proxy before a real name server and its broker, for real cuts.
//!
//! Clients connect to the address of the broker that the name server tells them, so the proxy puts its own in that place.

use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Forwards while the connection is there.
pub struct Proxy {
    names: u16,
    wire: Arc<Wire>,
    accepting: [AbortHandle; 2],
}

struct Wire {
    is_cut: watch::Sender<bool>,
    refused: watch::Sender<usize>,
    /// Where the broker is, once the name server has told it.
    broker: watch::Sender<String>,
    /// Where it is said to be.
    in_its_place: String,
}

impl Proxy {
    pub async fn to(name_server: &str) -> Self {
        let names = TcpListener::bind(LOOPBACK_ANY).await.expect("a free port");
        let broker = TcpListener::bind(LOOPBACK_ANY).await.expect("a free port");
        let in_its_place = broker.local_addr().expect("bound").to_string();
        let wire = Arc::new(Wire {
            is_cut: watch::Sender::new(false),
            refused: watch::Sender::new(0),
            broker: watch::Sender::default(),
            in_its_place,
        });
        let port = names.local_addr().expect("bound").port();
        let accepting = [
            tokio::spawn(Arc::clone(&wire).accept(names, Some(name_server.to_owned()))),
            tokio::spawn(Arc::clone(&wire).accept(broker, None)),
        ];
        Self { names: port, wire, accepting: accepting.map(|task| task.abort_handle()) }
    }

    /// Of the name server.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.names)
    }

    /// Every connection ends, and new ones are refused.
    pub fn cut(&self) {
        self.wire.is_cut.send_replace(true);
    }

    /// Lets connections through again once one was refused. Not many more: after five the client does not try for half a
    /// minute.
    pub async fn restore_after_a_refusal(&self) {
        let mut refused = self.wire.refused.subscribe();
        refused.wait_for(|count| *count > 0).await.expect("the sender is here");
        self.wire.is_cut.send_replace(false);
    }
}

const LOOPBACK_ANY: &str = "127.0.0.1:0";

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }
}

impl Wire {
    /// To the name server, or to the broker.
    async fn accept(self: Arc<Self>, listener: TcpListener, name_server: Option<String>) {
        while let Ok((client, _)) = listener.accept().await {
            if *self.is_cut.borrow() {
                self.refused.send_modify(|count| *count += 1);
                continue;
            }
            tokio::spawn(Arc::clone(&self).forward(client, name_server.clone()));
        }
    }

    async fn forward(self: Arc<Self>, client: TcpStream, name_server: Option<String>) {
        let is_names = name_server.is_some();
        let target = name_server.unwrap_or_else(|| self.broker.borrow().clone());
        let server = TcpStream::connect(&target).await.expect("it is there");
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let mut is_cut = self.is_cut.subscribe();
        tokio::select! {
            _ = is_cut.wait_for(|cut| *cut) => {}
            () = self.copy(client_read, server_write, false) => {}
            () = self.copy(server_read, client_write, is_names) => {}
        }
    }

    /// Until either side ends.
    async fn copy(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, is_names: bool) {
        loop {
            // One answer at a time: its length, then itself.
            let Ok(length) = from.read_u32().await else { return };
            let mut bytes = vec![0; length as usize];
            if from.read_exact(&mut bytes).await.is_err() {
                return;
            }
            if is_names {
                self.put_in_its_place(&mut bytes);
            }
            if to.write_u32(bytes.len() as u32).await.is_err() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    /// In the answer's body: what is before it has its own length.
    fn put_in_its_place(&self, frame: &mut Vec<u8>) {
        let header_bytes = frame.first_chunk().map_or(0, |first| u32::from_be_bytes(*first) & 0xff_ffff);
        let body = frame.split_off((4 + header_bytes as usize).min(frame.len()));
        let body = String::from_utf8(body).expect("name servers write JSON");
        let broker = body.split('"').find(|text| text.starts_with("127.0.0.1:"));
        if let Some(broker) = broker {
            self.broker.send_replace(broker.to_owned());
            frame.extend(body.replace(broker, &self.in_its_place).into_bytes());
        } else {
            frame.extend(body.into_bytes());
        }
    }
}
