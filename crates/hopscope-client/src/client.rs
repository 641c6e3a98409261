//! [`Client`]: one method for each answer of the API.

use crate::api::{
    DestinationsAnswer, DoctorAnswer, ErrorAnswer, FindAnswer, MessageAnswer, RatesAnswer, ServicesAnswer,
    StatusAnswer, StoreAnswer, TraceAnswer,
};
use crate::live::LiveStream;
use crate::{Error, ErrorKind};
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the server's own limit on one answer, so that its explanation arrives.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Asks one server. Cheap to clone: clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// For the server at `base`, e.g. `http://127.0.0.1:7400`; a missing `http://` is added. Does not
    /// connect yet.
    pub fn new(base: &str) -> Result<Self, Error> {
        let base = base.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|source| Error::transport(&base, source))?;
        Ok(Self { base, http })
    }

    /// Where it asks.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Messages that match the query, newest first. `after` is the `next` of the page before.
    pub async fn find(&self, query: &str, limit: u32, after: Option<&str>) -> Result<FindAnswer, Error> {
        let limit = limit.to_string();
        let mut parameters = vec![("q", query), ("limit", limit.as_str())];
        parameters.extend(after.map(|after| ("after", after)));
        self.get("find", &parameters).await
    }

    /// One message by its reference, with its causal tree up to `depth` steps each way.
    pub async fn message(&self, reference: &str, depth: u32) -> Result<MessageAnswer, Error> {
        let path = format!("messages/{}", path_segment(reference));
        self.get(&path, &[("depth", depth.to_string().as_str())]).await
    }

    /// A page of the events of a trace, oldest first.
    pub async fn trace(&self, trace_id: &str, limit: u32, after: Option<&str>) -> Result<TraceAnswer, Error> {
        let limit = limit.to_string();
        let mut parameters = vec![("limit", limit.as_str())];
        parameters.extend(after.map(|after| ("after", after)));
        self.get(&format!("traces/{}", path_segment(trace_id)), &parameters).await
    }

    /// Destinations and their counts; `since` as in a query (`1h`), `None` for all.
    pub async fn destinations(&self, since: Option<&str>) -> Result<DestinationsAnswer, Error> {
        self.get("destinations", &since.map(|since| ("since", since)).into_iter().collect::<Vec<_>>()).await
    }

    /// Services and their counts; `since` as in a query (`1h`), `None` for all.
    pub async fn services(&self, since: Option<&str>) -> Result<ServicesAnswer, Error> {
        self.get("services", &since.map(|since| ("since", since)).into_iter().collect::<Vec<_>>()).await
    }

    /// Messages over time by destination and group; `since` as in a query (`1h`), `None` for the last hour, `q` a
    /// query of names, empty for all.
    pub async fn rates(&self, since: Option<&str>, q: &str) -> Result<RatesAnswer, Error> {
        let mut parameters = vec![("q", q)];
        parameters.extend(since.map(|since| ("since", since)));
        self.get("rates", &parameters).await
    }

    /// What keeps the estate, one service or one destination of it, from being seen whole; `since` as in a query (`1h`),
    /// `None` for the last hour; an empty name is all of them.
    pub async fn doctor(
        &self,
        since: Option<&str>,
        service: &str,
        destination: &str,
    ) -> Result<DoctorAnswer, Error> {
        let mut parameters = vec![("service", service), ("dest", destination)];
        parameters.extend(since.map(|since| ("since", since)));
        self.get("doctor", &parameters).await
    }

    /// How the server is.
    pub async fn status(&self) -> Result<StatusAnswer, Error> {
        self.get("status", &[]).await
    }

    /// What is stored takes on the disk.
    pub async fn store(&self) -> Result<StoreAnswer, Error> {
        self.get("store", &[]).await
    }

    /// What is being stored, as it happens.
    pub async fn live(&self) -> Result<LiveStream, Error> {
        let request = self.http.get(format!("{}/api/v1/live", self.base));
        let response = request.send().await.map_err(|source| Error::transport(&self.base, source))?;
        match response.status().is_success() {
            true => Ok(LiveStream::new(self.base.clone(), response)),
            false => Err(self.refusal(response).await),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Error> {
        let transport = |source| Error::transport(&self.base, source);
        let request = self.http.get(format!("{}/api/v1/{path}", self.base)).timeout(ANSWER_TIMEOUT);
        let response = request.query(query).send().await.map_err(transport)?;
        match response.status().is_success() {
            true => response.json().await.map_err(transport),
            false => Err(self.refusal(response).await),
        }
    }

    async fn refusal(&self, response: reqwest::Response) -> Error {
        let status = response.status().as_u16();
        let mut error = match response.json::<ErrorAnswer>().await {
            Ok(answer) => Error::answered(answer.error),
            Err(_) => Error::strange(&self.base, status),
        };
        if status == 404 {
            error.kind = ErrorKind::NotFound;
        }
        error
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3): a reference has `/` and `:` in it and
/// is one segment of the path all the same.
fn path_segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 3), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string never fails"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_segment() {
        assert_eq!(path_segment("kafka:orders/0/15"), "kafka%3Aorders%2F0%2F15");
        assert_eq!(path_segment("id:nats:s:单%"), "id%3Anats%3As%3A%E5%8D%95%25");
    }

    #[test]
    fn an_address_needs_no_scheme() {
        let base = |text| Client::new(text).map(|client| client.base().to_owned()).ok();
        assert_eq!(base("127.0.0.1:7400/").as_deref(), Some("http://127.0.0.1:7400"));
        assert_eq!(base("http://a:1").as_deref(), Some("http://a:1"));
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable_with_a_hint() {
        // Port 1 on loopback: nothing listens there.
        let client = Client::new("127.0.0.1:1").expect("a client");
        let error = client.status().await.expect_err("nobody answers");
        assert_eq!(error.kind, ErrorKind::Unreachable);
        assert!(error.hint.is_some());
    }
}
