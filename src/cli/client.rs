//! A client of the admin API, for the commands, and their options that say how to reach it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::typestate::WithBody;

use crate::config::tls::{self, Pair};

/// An operator waits at a terminal, so a listener that does not answer within this time counts as absent.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a running serin's admin listener.
#[derive(Debug, Args)]
pub struct AdminAddress {
    /// The URL of the running serin's admin listener
    #[arg(long, env = "SERIN_ADMIN", default_value = "http://127.0.0.1:9400", value_name = "URL")]
    pub admin: String,
    /// Read the bearer token from this file; SERIN_TOKEN can hold the token itself
    #[arg(long, env = "SERIN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file with https, in place of the system's
    #[arg(long, env = "SERIN_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Present the client certificate in this PEM file, if the listener asks for one
    #[arg(long, env = "SERIN_CERT_FILE", value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// The private key of the client certificate, as PEM
    #[arg(long, env = "SERIN_KEY_FILE", value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
}

pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    tls: Option<TlsConfig>,
}

impl Client {
    pub fn new(address: &AdminAddress) -> anyhow::Result<Client> {
        let token = match &address.token_file {
            Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?.trim().to_owned()),
            None => std::env::var("SERIN_TOKEN").ok().filter(|token| !token.is_empty()),
        };
        let secure = address.admin.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let tls = if secure { Some(tls(address, Trust::Authorities)?) } else { None };
        Ok(Client::with(&address.admin, token, tls, TIMEOUT))
    }

    /// For requests that need no token. Sends none, even if there is one.
    pub fn without_token(address: &AdminAddress, trust: Trust, timeout: Duration) -> anyhow::Result<Client> {
        let tls = if address.admin.starts_with("https://") { Some(tls(address, trust)?) } else { None };
        Ok(Client::with(&address.admin, None, tls, timeout))
    }

    pub fn with_token(base: &str, token: Option<String>) -> Client {
        Client::with(base, token, None, TIMEOUT)
    }

    fn with(base: &str, token: Option<String>, tls: Option<TlsConfig>, timeout: Duration) -> Client {
        // No proxy from the environment: the admin listener is local, or on the operator's own network. No redirects: serin sends
        // none, and the token must not go to another server.
        let mut agent =
            ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).proxy(None).max_redirects(0);
        if let Some(tls) = tls.clone() {
            agent = agent.tls_config(tls);
        }
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        Client { agent: agent.build().into(), base: base.trim_end_matches('/').to_owned(), token, tls }
    }

    /// The same client with a longer timeout, for slow answers.
    pub fn patient(self, seconds: u64) -> Client {
        Client::with(&self.base, self.token, self.tls, Duration::from_secs(seconds))
    }

    /// The status and the text of an answer that is not JSON.
    pub fn text(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.agent.get(format!("{}{path}", self.base)).call();
        let mut answer = answer.map_err(|error| anyhow!("no serin answers at {}: {error}", self.base))?;
        let text = answer.body_mut().read_to_string().with_context(|| format!("{} broke off", self.base))?;
        Ok((answer.status().as_u16(), text))
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(path, request.call())
    }

    pub fn put(&self, path: &str, body: &Value, if_match: Option<u64>) -> anyhow::Result<Value> {
        self.change(path, self.agent.put(format!("{}{path}", self.base)), body, if_match)
    }

    pub fn post(&self, path: &str, body: &Value, if_match: Option<u64>) -> anyhow::Result<Value> {
        self.change(path, self.agent.post(format!("{}{path}", self.base)), body, if_match)
    }

    fn change(
        &self,
        path: &str,
        mut request: ureq::RequestBuilder<WithBody>,
        body: &Value,
        if_match: Option<u64>,
    ) -> anyhow::Result<Value> {
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(revision) = if_match {
            request = request.header("If-Match", format!("\"{revision}\""));
        }
        self.answer(path, request.send_json(body))
    }

    /// Returns the document, or the problem's text as an error.
    fn answer(&self, path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
        let mut answer = answer.map_err(|error| anyhow!("no serin answers at {}: {error}", self.base))?;
        let status = answer.status();
        let document: Value = answer.body_mut().read_json().with_context(|| format!("{} answered {status} without JSON", self.base))?;
        if status.is_success() {
            return Ok(document);
        }
        let detail = document["detail"].as_str().unwrap_or(status.as_str());
        if status == StatusCode::MISDIRECTED_REQUEST {
            // The request was not carried out. The next connection may reach another serin.
            bail!("no serin answers at {} on this connection: {detail}", self.base);
        }
        let advice = self.advice(status.as_u16()).map(str::to_owned).or_else(|| command_for(document["code"].as_str()?, path));
        match advice {
            Some(advice) => Err(anyhow!("{detail}\n{advice}")),
            None => Err(anyhow!("{detail}")),
        }
    }

    /// What to do about a status for missing rights.
    fn advice(&self, status: u16) -> Option<&'static str> {
        match (status, &self.token) {
            (401, None) => Some("no token was given: name its file in SERIN_TOKEN_FILE or by --token-file, or put it into SERIN_TOKEN"),
            (401, Some(_)) => {
                Some("the token came from SERIN_TOKEN_FILE, --token-file or SERIN_TOKEN: read it again from where it is renewed")
            }
            (403, None) => {
                Some("no token was given: where the config has one that may, name its file in SERIN_TOKEN_FILE or by --token-file")
            }
            _ => None,
        }
    }
}

/// The command that helps after a refusal, by the problem's code. `path` names the bot and the action.
fn command_for(code: &str, path: &str) -> Option<String> {
    let (bot, action) = path.strip_prefix("/v1/bots/")?.split_once('/')?;
    let action = match action.split('?').next()? {
        "rollouts" => "start",
        action => action,
    };
    Some(match code {
        "frozen" => format!("serin thaw {bot}, or serin {action} {bot} --force --reason \"…\""),
        "failing" | "broken" => format!("serin abort {bot}, or serin {action} {bot} --force if you know better"),
        "paused" => format!("serin resume {bot}"),
        "under_way" if action == "start" => format!("serin abort {bot}, or serin start {bot} --replace"),
        "under_way" | "live_split" => format!("serin abort {bot}"),
        "quarantined" => format!("serin start {bot} --retry --reason \"…\""),
        "preflight" => format!("serin {action} {bot} --force, if the side is well all the same"),
        "reason" => format!("serin {action} {bot} … --reason \"…\""),
        "nothing_to_undo" | "undone" => format!("serin switch {bot}"),
        "stale" | "overtaken" => format!("serin status {bot}"),
        _ => return None,
    })
}

/// Which certificates are accepted with https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those of the trusted authorities, with the right name.
    Authorities,
    /// All. For requests to this machine that contain no secret.
    Anybody,
}

/// The authorities to trust, and the certificate to show.
fn tls(address: &AdminAddress, trust: Trust) -> anyhow::Result<TlsConfig> {
    let authorities = match (&address.ca_file, trust) {
        (Some(file), _) => tls::authorities(file)?,
        (None, Trust::Authorities) => rustls_native_certs::load_native_certs().certs,
        (None, Trust::Anybody) => Vec::new(),
    };
    if authorities.is_empty() && trust == Trust::Authorities {
        bail!("the system has no certificate authorities to trust: install ca-certificates or give --ca-file");
    }
    let own =
        |certificates: &[CertificateDer<'_>]| certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>();
    let client = match (&address.cert_file, &address.key_file) {
        (Some(certificate), Some(key)) => {
            // Checked before, because ureq would panic on a key that belongs to another certificate.
            let pair = Pair::load(certificate, key)?;
            let key = PrivateKey::from_pem(&std::fs::read(key)?).with_context(|| format!("cannot read {}", key.display()))?;
            Some(ClientCert::new_with_certs(&own(&pair.chain), key))
        }
        (None, None) | (Some(_), None) | (None, Some(_)) => None,
    };
    let config = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&own(&authorities)))
        .client_cert(client)
        .disable_verification(trust == Trust::Anybody)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    Ok(config.build())
}
