//! The HTTP client by which the ACME library speaks to the authority. It is the one that also sends notifications; each request takes
//! a thread of the runtime's own for as long as it lasts.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::CertificateDer;
use ureq::tls::Certificate;

use crate::outbound::{of_the_system, retry_after, trusting};

/// Authorities answer within some seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of an answer. A chain has some kilobytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// An authority's operators look for clients by it.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("serin/", env!("CARGO_PKG_VERSION")));

/// Cheap to clone: all clones are one client.
#[derive(Clone, Debug)]
pub struct Http {
    agent: ureq::Agent,
    asked: Arc<Mutex<Option<Duration>>>,
}

impl Http {
    /// `authorities`: who may have signed the authority's own certificate; `None`: those that the system trusts.
    pub fn new(authorities: Option<&[CertificateDer<'static>]>) -> Http {
        let trusted = match authorities {
            Some(authorities) => authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect(),
            None => of_the_system(),
        };
        let tls = trusting(&trusted);
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None).tls_config(tls);
        Http { agent: config.build().into(), asked: Arc::default() }
    }

    /// The `Retry-After` of the last answer, if that was an error. The library does not pass it on.
    pub fn asked(&self) -> Option<Duration> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, request: Request<Vec<u8>>) -> Result<BytesResponse, String> {
        let answer = if request.body().is_empty() { self.agent.run(request.map(drop)) } else { self.agent.run(request) };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let asked =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|value| retry_after(value, SystemTime::now()));
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked.filter(|_| status.as_u16() >= 400);
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(|error| error.to_string())?;
        // The library expects a document of ACME, and would only say that this is none.
        if !status.is_success() && serde_json::from_slice::<serde_json::Value>(&body).is_err() {
            return Err(format!("it answered {}", status.as_u16()));
        }
        let (parts, _) = answer.into_parts();
        Ok(BytesResponse { parts, body: Box::new(Bytes::from(body)) })
    }
}

impl HttpClient for Http {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            parts.headers.insert(USER_AGENT, AGENT);
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let request = Request::from_parts(parts, body.to_vec());
            let to = request.uri().clone();
            let sent = tokio::task::spawn_blocking(move || client.send(request)).await;
            let sent = sent.unwrap_or_else(|error| Err(error.to_string()));
            sent.map_err(|why| Error::Other(Box::<dyn StdError + Send + Sync>::from(format!("{to}: {why}"))))
        })
    }
}
