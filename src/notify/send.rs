//! One attempt to send one message. What is said about it never holds the URL, which is a secret.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::message::Message;
use super::retry::{Heard, retry_after};
use super::shape::shape;
use super::sign::{EVENT_ID, SIGNATURE, TIMESTAMP, signature};
use crate::config::{Notifier, NotifierKind};

/// Chats answer within a second; who takes longer than this is asked again.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// What an answer says about itself is read up to here.
const ANSWER_MOST: u64 = 2_048;

/// Keeps the authorities, once they are needed.
pub struct Sender {
    plain: ureq::Agent,
    secure: Option<ureq::Agent>,
}

/// What came of it, and the beginning of what the receiver said.
pub struct Answer {
    pub heard: Heard,
    pub body: String,
}

impl Sender {
    pub fn new() -> Sender {
        Sender { plain: agent(None), secure: None }
    }

    pub fn send(&mut self, notifier: &Notifier, message: &Message) -> Answer {
        let body = shape(&notifier.kind, message).to_string();
        let url = notifier.url.reveal();
        let is_secure = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let agent = if is_secure { self.secure.get_or_insert_with(|| agent(Some(authorities()))) } else { &self.plain };
        let mut request = agent.post(url).header("Content-Type", "application/json").header("User-Agent", "serin");
        match &notifier.kind {
            NotifierKind::Slack | NotifierKind::Discord | NotifierKind::Teams => {}
            NotifierKind::Webhook { signing } => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
                request = request
                    .header(TIMESTAMP, now.to_string())
                    .header(SIGNATURE, signature(signing.reveal(), now, body.as_bytes()))
                    .header(EVENT_ID, &message.id);
            }
        }
        match request.send(body) {
            Ok(answer) => heard(answer),
            Err(error) => Answer { heard: Heard::Nothing(why(&error)), body: String::new() },
        }
    }
}

fn heard(mut answer: ureq::http::Response<ureq::Body>) -> Answer {
    let wait = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
    let heard = Heard::Status { code: answer.status().as_u16(), retry_after: wait };
    let body = answer.body_mut().with_config().limit(ANSWER_MOST).lossy_utf8(true).read_to_string().unwrap_or_default();
    Answer { heard, body }
}

/// In words of our own: an error's text may quote the URL.
fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::HostNotFound => "its host is not found".to_owned(),
        ureq::Error::Io(error) => why_io(error),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::Protocol(_) => "its answer is no HTTP".to_owned(),
        // Not our own enum, and one that grows.
        _ => "the request cannot be sent".to_owned(),
    }
}

fn why_io(error: &std::io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return format!("TLS: {tls}");
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => "it refuses connections".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            "it broke the connection off".to_owned()
        }
        kind => format!("it cannot be reached: {kind}"),
    }
}

/// No redirects: a message is for nobody else. No proxy from the environment: what is sent is no one else's business. No
/// connection is kept: one that was closed meanwhile would leave it open whether a message has arrived.
fn agent(tls: Option<TlsConfig>) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_idle_connections(0);
    match tls {
        Some(tls) => config.tls_config(tls).build().into(),
        None => config.build().into(),
    }
}

/// The system's. Where there are none, each attempt says that the certificate is not known.
fn authorities() -> TlsConfig {
    let certificates: Vec<Certificate<'static>> =
        rustls_native_certs::load_native_certs().certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
