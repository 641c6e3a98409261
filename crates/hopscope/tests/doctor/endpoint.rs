//! Endpoints that cannot be exported to: nobody there, the wrong protocol, the wrong path, TLS, authorisation.

use crate::estate::{Estate, Told};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Of an estate that is well otherwise.
#[track_caller]
fn only(arguments: &[&str], code: &str) -> hopscope_client::api::Finding {
    tried(&Estate::healthy(), arguments).only(code)
}

fn tried(estate: &Estate, arguments: &[&str]) -> Told {
    estate.doctor(arguments)
}

/// An endpoint that gives every connection this answer.
fn answers(answer: &'static str) -> String {
    answers_by(move |_| answer)
}

/// An endpoint that answers as the request wants it.
fn answers_by(answer: impl Fn(&str) -> &'static str + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 4096];
            // Whoever only knocks gets nothing.
            let bytes = stream.read(&mut request).unwrap_or_default();
            if bytes > 0 {
                let answer = answer(&String::from_utf8_lossy(&request[..bytes]));
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    format!("http://{address}")
}

#[test]
fn nobody_listens_there() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let url = format!("http://{free}");
    let found = only(&["--endpoint", &url], "endpoint_unreachable");
    assert_eq!(found.fact("endpoint"), url);
    assert!(found.fact("why").contains("refused") && found.next.contains("listening"), "{found:?}");
}

#[test]
fn grpc_to_the_http_port_and_the_other_way() {
    for (to_grpc_port, protocol, right) in [(false, "grpc", "http/protobuf"), (true, "http/protobuf", "grpc")]
    {
        // A fresh one each: what the trial did shows in the server's books afterwards.
        let estate = Estate::healthy();
        let url = if to_grpc_port { &estate.server.otlp_grpc } else { &estate.server.otlp_http };
        let found =
            tried(&estate, &["--endpoint", url, "--protocol", protocol]).only("endpoint_wrong_protocol");
        assert_eq!((found.fact("protocol"), found.fact("endpoint")), (protocol, url.as_str()));
        assert!(found.next.contains(&format!("OTEL_EXPORTER_OTLP_PROTOCOL={right}")), "{found:?}");
    }
}

#[test]
fn a_path_that_takes_no_traces() {
    let estate = Estate::healthy();
    let url = format!("{}/otlp", estate.server.otlp_http);
    let found = tried(&estate, &["--endpoint", &url]).only("endpoint_wrong_path");
    assert!(found.text.contains("/otlp: HTTP status 404") && found.next.contains("/v1/traces"), "{found:?}");
}

#[test]
fn tls_where_there_is_none() {
    let estate = Estate::healthy();
    let url = estate.server.otlp_http.replace("http:", "https:");
    let found = tried(&estate, &["--endpoint", &url]).only("endpoint_tls");
    assert!(found.next.contains("http:// instead of https://"), "{found:?}");
}

#[test]
fn a_name_that_nobody_knows() {
    let found = only(&["--endpoint", "http://collector.invalid:4318"], "endpoint_unresolved");
    assert!(found.text.contains("collector.invalid") && found.next.contains("DNS"), "{found:?}");
}

#[test]
fn who_is_not_let_in_who_is_too_busy_and_what_is_no_otlp() {
    let estate = Estate::healthy();
    for (answer, code, next) in [
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            "endpoint_auth",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "endpoint_busy", "try again"),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 3\r\n\r\n<p>",
            "endpoint_odd",
            "web page",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2020 06:38:37 GMT\r\n\r\n",
            "clock_of_this_machine",
            "NTP",
        ),
    ] {
        let found = tried(&estate, &["--endpoint", &answers(answer)]).only(code);
        assert!(found.next.contains(next), "{found:?}");
    }
}

#[test]
fn a_port_that_speaks_tls_and_one_that_takes_no_gzip() {
    let estate = Estate::healthy();
    // Alert, TLS 1.2, fatal: handshake failure.
    let found = tried(&estate, &["--endpoint", &answers("\x15\x03\x03\0\x02\x02\x28")]).only("endpoint_tls");
    assert!(found.next.contains("https:// instead of http://"), "{found:?}");
    let url = answers_by(|request| match request.contains("content-encoding: gzip") {
        true => "HTTP/1.1 415 Unsupported\r\ncontent-length: 0\r\n\r\n",
        false => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    });
    let found = tried(&estate, &["--endpoint", &url]).only("endpoint_compression");
    assert!(found.next.contains("OTEL_EXPORTER_OTLP_COMPRESSION=none"), "{found:?}");
}

#[test]
fn without_a_server_to_ask_the_endpoint_is_tried_all_the_same() {
    let estate = Estate::empty();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let server = format!("http://{free}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hopscope"))
        .args(["doctor", "--server", &server, "--endpoint", &estate.server.otlp_http])
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary runs");
    let (told, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(7), "{told}{error}");
    assert!(told.contains("accepted, gzip") && told.contains("the data was not looked at"), "{told}");
    assert!(error.contains("no server answers") && error.contains("hint:"), "{error}");
}
