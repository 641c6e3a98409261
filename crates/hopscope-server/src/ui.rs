//! The web interface, embedded: the built files of `ui/dist`.
//!
//! Files under `assets/` have a hash in their name and never change; `index.html` is asked for every time. Paths
//! of pages (`/`, `/m/...`, `/t/...`) all get `index.html`: the page reads the path itself.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
struct Files;

/// Compressed twins, best first: made when the interface is built.
const TWINS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

pub(crate) async fn serve(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let (name, status) = match path {
        _ if Files::get(path).is_some() => (path, StatusCode::OK),
        "" => ("index.html", StatusCode::OK),
        // References have points in them (`orders.v1/0/15`), so pages are known by how they begin.
        page if page.starts_with("m/") || page.starts_with("t/") || !is_file => {
            ("index.html", StatusCode::OK)
        }
        _ => return (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    };
    file(name, request.headers()).map_or_else(
        || (StatusCode::NOT_FOUND, "the web interface was not built into this program\n").into_response(),
        |response| (status, response).into_response(),
    )
}

fn file(name: &str, request: &HeaderMap) -> Option<Response> {
    let (file, encoding) = chosen(name, request)?;
    let mut response = Response::new(Body::from(file.data.into_owned()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(response)
}

fn chosen(name: &str, request: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepted = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let accepts = |encoding: &str| {
        accepted.split(',').any(|one| {
            let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
            coding.trim().eq_ignore_ascii_case(encoding) && weight.trim() != "q=0"
        })
    };
    let twin = TWINS.iter().filter(|(encoding, _)| accepts(encoding)).find_map(|(encoding, suffix)| {
        Files::get(&format!("{name}.{suffix}")).map(|file| (file, Some(*encoding)))
    });
    twin.or_else(|| Files::get(name).map(|file| (file, None)))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
