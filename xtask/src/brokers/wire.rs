//! The few bytes of each protocol that a health check needs, over plain blocking sockets.

use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection to a port of this machine with time limits on every step.
pub fn connect(port: u16) -> Result<TcpStream> {
    open(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A connection to `host:port`.
pub fn connect_to(host_and_port: &str) -> Result<TcpStream> {
    open(host_and_port.to_socket_addrs()?.next().context("name has no address")?)
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    Ok(connection)
}

/// Sends a frame after its size (4 bytes, big endian): the framing of Kafka and of RocketMQ.
pub fn send_sized(connection: &mut TcpStream, frame: &[u8]) -> Result<()> {
    connection.write_all(&[&(frame.len() as u32).to_be_bytes(), frame].concat())?;
    Ok(())
}

/// Receives one sized frame.
pub fn receive_sized(connection: &mut TcpStream) -> Result<Vec<u8>> {
    let size = u32::from_be_bytes(receive(connection, 4)?.as_slice().try_into()?) as usize;
    if size > ANSWER_BYTES_MAX {
        bail!("answer is too large: bytes={size}");
    }
    receive(connection, size)
}

/// Receives exactly `size` bytes.
pub fn receive(connection: &mut TcpStream, size: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    connection.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The whole answer, headers included, to a GET.
pub fn http_get(port: u16, path: &str) -> Result<String> {
    let mut connection = connect(port)?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(ANSWER_BYTES_MAX as u64).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Opens an AMQP 0-9-1 connection as guest, gets a channel, closes: less than that is no sign of readiness.
pub fn amqp_handshake(port: u16) -> Result<()> {
    let mut connection = connect(port)?;
    connection.write_all(b"AMQP\x00\x00\x09\x01")?;
    expect_method(&mut connection, CONNECTION_START)?;
    // No client properties, PLAIN, "\0guest\0guest", locale.
    let start_ok = [&[0, 0, 0, 0, 5], b"PLAIN".as_slice(), &[0, 0, 0, 12], b"\0guest\0guest", &[5], b"en_US"];
    send_method(&mut connection, 0, [10, 11], &start_ok.concat())?;
    let tune = expect_method(&mut connection, CONNECTION_TUNE)?;
    let limits = tune.get(..6).context("tune is cut off")?;
    send_method(&mut connection, 0, [10, 31], &[limits, &[0, 0]].concat())?;
    send_method(&mut connection, 0, [10, 40], &[1, b'/', 0, 0])?;
    expect_method(&mut connection, [10, 41])?;
    send_method(&mut connection, 1, [20, 10], &[0])?;
    expect_method(&mut connection, [20, 11])?;
    // 200, no text, no method: a goodbye that the broker does not log as an error.
    send_method(&mut connection, 0, [10, 50], &[0, 200, 0, 0, 0, 0, 0])?;
    expect_method(&mut connection, [10, 51])?;
    Ok(())
}

/// Class and method number.
type Method = [u8; 2];
const CONNECTION_START: Method = [10, 10];
const CONNECTION_TUNE: Method = [10, 30];
const METHOD_FRAME: u8 = 1;
const FRAME_END: u8 = 0xCE;

fn send_method(connection: &mut TcpStream, channel: u8, method: Method, arguments: &[u8]) -> Result<()> {
    let payload = [&[0, method[0], 0, method[1]], arguments].concat();
    let size = (payload.len() as u32).to_be_bytes();
    let frame = [&[METHOD_FRAME, 0, channel], size.as_slice(), &payload, &[FRAME_END]].concat();
    connection.write_all(&frame)?;
    Ok(())
}

/// Receives one method frame; returns its arguments, or an error if it is another method.
fn expect_method(connection: &mut TcpStream, method: Method) -> Result<Vec<u8>> {
    let header = receive(connection, 7)?;
    let size = u32::from_be_bytes(header[3..7].try_into()?) as usize;
    if header[0] != METHOD_FRAME || size > ANSWER_BYTES_MAX {
        bail!("not an AMQP 0-9-1 method frame: type={} bytes={size}", header[0]);
    }
    let payload = receive(connection, size + 1)?;
    match payload.as_slice() {
        [0, class, 0, number, arguments @ .., FRAME_END] if [*class, *number] == method => {
            Ok(arguments.to_vec())
        }
        other => {
            bail!("unexpected AMQP method: expected={method:?} payload={:?}", &other[..other.len().min(64)])
        }
    }
}
