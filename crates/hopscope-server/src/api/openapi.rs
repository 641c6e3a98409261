//! The OpenAPI description, from the code.

use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hopscope API",
        description = "What happened to this message? 64-bit integers are strings; every answer says what was searched.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        super::find::find,
        super::message::message,
        super::trace::trace,
        super::counts::destinations,
        super::counts::services,
        super::rates::rates,
        super::doctor::doctor,
        super::status::status,
        super::store::store,
        super::live::live,
    ),
    components(schemas(hopscope_client::api::ErrorAnswer))
)]
struct Description;

/// The description of API v1 as JSON, two blanks of indentation, a line feed at the end.
pub fn openapi_json() -> String {
    let mut text = Description::openapi().to_pretty_json().expect("a description made of plain values");
    text.push('\n');
    text
}

pub(super) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_current() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, openapi_json()).expect("docs/ is writable");
        }
        let committed = std::fs::read_to_string(&file).expect("docs/openapi.json");
        assert!(committed == openapi_json(), "rewrite it with UPDATE_EXPECT=1 cargo test -p hopscope-server");
    }
}
