//! One attempt to send one message. The URL is a secret: no error text or log line contains it.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use ureq::tls::{Certificate, TlsConfig};

use super::message::Message;
use super::retry::AttemptResult;
use super::shape::shape;
use super::sign::{EVENT_ID, SIGNATURE, TIMESTAMP, signature};
use crate::config::{Notifier, NotifierKind};
use crate::outbound::{of_the_system, retry_after, trusting};

/// Chat platforms answer within a second; after this time the attempt counts as failed.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer's body that are read.
const ANSWER_MOST: u64 = 2_048;

/// The HTTP clients. The system's certificate authorities are loaded when they are first needed and kept while TLS succeeds.
pub struct Sender {
    plain: ureq::Agent,
    secure: Option<ureq::Agent>,
    authorities: fn() -> Vec<Certificate<'static>>,
}

/// The result of an attempt, and the beginning of the receiver's answer.
pub struct Answer {
    pub result: AttemptResult,
    pub body: String,
}

impl Sender {
    pub fn new() -> Sender {
        Sender { plain: agent(None), secure: None, authorities: of_the_system }
    }

    pub fn send(&mut self, notifier: &Notifier, message: &Message) -> Answer {
        let body = shape(&notifier.kind, message).to_string();
        let url = notifier.url.reveal();
        let is_secure = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let agent = if is_secure { self.secure() } else { self.plain.clone() };
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
            Ok(answer) => read_answer(answer),
            Err(error) => {
                // The authorities may have been replaced since they were loaded, so the next attempt loads them again.
                self.secure.take_if(|_| is_tls(&error));
                Answer { result: AttemptResult::NoAnswer(why(&error)), body: String::new() }
            }
        }
    }

    /// The client for HTTPS. It is not kept if the system has no authorities, because they may be installed before the next attempt.
    fn secure(&mut self) -> ureq::Agent {
        if let Some(agent) = &self.secure {
            return agent.clone();
        }
        let authorities = (self.authorities)();
        let agent = agent(Some(trusting(&authorities)));
        self.secure = Some(agent.clone()).filter(|_| !authorities.is_empty());
        agent
    }
}

fn read_answer(mut answer: ureq::http::Response<ureq::Body>) -> Answer {
    let wait = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
    let result = AttemptResult::Status { code: answer.status().as_u16(), retry_after: wait };
    let body = answer.body_mut().with_config().limit(ANSWER_MOST).lossy_utf8(true).read_to_string().unwrap_or_default();
    Answer { result, body }
}

/// The reason in our own words, because the text of a `ureq` error may contain the URL.
fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::HostNotFound => "its host is not found".to_owned(),
        ureq::Error::Io(error) => why_io(error),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::Protocol(_) => "its answer is no HTTP".to_owned(),
        // A foreign enum that may grow.
        _ => "the request cannot be sent".to_owned(),
    }
}

fn is_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        ureq::Error::Io(error) => tls_in(error).is_some(),
        // A foreign enum that may grow.
        _ => false,
    }
}

fn tls_in(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn why_io(error: &std::io::Error) -> String {
    if let Some(tls) = tls_in(error) {
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

/// No redirects and no proxy from the environment, because a message must reach nobody but the receiver. Connections are not reused: on
/// one that the receiver has closed meanwhile it would be unclear whether the message arrived.
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, LazyLock, Mutex};

    use rcgen::{CertifiedKey, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;
    use crate::config::Hidden;
    use crate::notify::message;

    fn certificate() -> CertifiedKey<KeyPair> {
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
    }

    fn trusted(certificates: &[&CertifiedKey<KeyPair>]) -> Vec<Certificate<'static>> {
        certificates.iter().map(|made| Certificate::from_der(made.cert.der()).to_owned()).collect()
    }

    /// A server that answers each request with 204.
    fn receiver(made: &CertifiedKey<KeyPair>) -> String {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("https://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut tls = rustls::Stream::new(&mut tls, &mut stream);
                let (mut request, mut piece) = (Vec::new(), [0; 1_024]);
                while !request.ends_with(b"}") {
                    match tls.read(&mut piece) {
                        Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
                        Ok(_) | Err(_) => break,
                    }
                }
                let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
        });
        url
    }

    #[test]
    fn authorities_that_come_later_are_found() {
        static NOW: LazyLock<Mutex<Vec<Certificate<'static>>>> = LazyLock::new(Mutex::default);
        let (own, other) = (certificate(), certificate());
        let url = Hidden::new(receiver(&own));
        let notifier = Notifier { name: "ops".to_owned(), kind: NotifierKind::Slack, url, on: Vec::new(), bots: None };
        let mut sender = Sender { authorities: || NOW.lock().unwrap().clone(), ..Sender::new() };
        let mut send = || sender.send(&notifier, &message::test("i", "ops", String::new(), "1")).result;
        for none_of_these in [trusted(&[]), trusted(&[&other])] {
            *NOW.lock().unwrap() = none_of_these;
            let heard = send();
            assert!(heard.to_string().starts_with("TLS: "), "{heard}");
        }
        *NOW.lock().unwrap() = trusted(&[&other, &own]);
        assert_eq!(send(), AttemptResult::Status { code: 204, retry_after: None });
        // Authorities that work are kept.
        *NOW.lock().unwrap() = trusted(&[]);
        assert!(send().is_success());
    }
}
