//! An authority, as the schedule needs it: it issues certificates, and says when it wants them to be renewed. `Acme` speaks to a real
//! one by the library.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, KeyAuthorization, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::http::Http;
use super::renewal::identifier;
use super::schedule::Validity;
use super::trouble::{Kind, Trouble, code};
use crate::config::tls::Pair;
use crate::config::{Acme as Config, ChallengeKind};
use crate::proxy::{Challenges, PendingChallenge};

/// How long the authority may take to check a name, and then to issue. It looks from several places and asks DNS, which is some
/// seconds.
const CHECKED_WITHIN: Duration = Duration::from_secs(120);
const ISSUED_WITHIN: Duration = Duration::from_secs(120);
/// The most attempts of one order whose nonces are rejected. The library repeats each request three times.
const STALE_MOST: usize = 5;
/// The first pause between two questions; each is longer than the one before.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub trait Authority: Send {
    /// Orders a certificate. Returns the chain and its key as PEM. `replaced` is the one that is shown now.
    fn order(&mut self, name: &str, replaced: Option<&Pair>) -> impl Future<Output = Result<String, Trouble>> + Send;

    /// In which time it wants this certificate to be renewed, and when it is to be asked again. `None`: it does not say.
    fn suggested(&mut self, shown: &Pair) -> impl Future<Output = Option<(Validity, Duration)>> + Send;
}

/// An authority that speaks ACME.
pub struct Acme {
    config: Arc<Config>,
    folder: Folder,
    challenges: Arc<Challenges>,
    /// The account while nothing fails. It knows the authority's URLs, which are asked for again after a failure.
    account: Option<(Account, Http)>,
}

/// The account's file.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The contact address that the authority has.
    contact: Option<String>,
    credentials: AccountCredentials,
}

impl Acme {
    pub fn new(config: Arc<Config>, folder: Folder, challenges: Arc<Challenges>) -> Acme {
        Acme { config, folder, challenges, account: None }
    }

    /// Returns the account of the folder, or a new one.
    async fn account(&mut self) -> Result<(Account, Http), Trouble> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let config = self.config.clone();
        // It may read the system's authorities.
        let http = tokio::task::spawn_blocking(move || Http::new(config.authorities.as_deref())).await;
        let http = http.map_err(|error| Trouble::new(Kind::Unreachable, error.to_string()))?;
        let trouble = |error: Error| Trouble::of(&error, Kind::Account, http.asked());
        let account = match self.kept().await? {
            None => self.new_account(&http).await?,
            Some(kept) => {
                let (known, contact) = (kept.contact == self.config.contact, self.config.contact.clone());
                let account =
                    Account::builder_with_http(Box::new(http.clone())).from_credentials(kept.credentials).await.map_err(trouble)?;
                if !known {
                    match account.update_contacts(&contacts(&self.config).iter().map(String::as_str).collect::<Vec<_>>()).await {
                        Ok(()) => self.note_contact(contact).await?,
                        Err(error) if is_unknown_account(&error) => {}
                        Err(error) => return Err(trouble(error)),
                    }
                }
                account
            }
        };
        self.account = Some((account.clone(), http.clone()));
        Ok((account, http))
    }

    async fn kept(&self) -> Result<Option<Kept>, Trouble> {
        let Some(bytes) = self.folder.on_disk(Folder::account).await? else { return Ok(None) };
        let kept = serde_json::from_slice(&bytes);
        // The library's text could quote the key.
        kept.map(Some).map_err(|_| Trouble::new(Kind::Folder, "the account's file is broken: remove it, and serin makes a new account"))
    }

    async fn note_contact(&self, contact: Option<String>) -> Result<(), Trouble> {
        match self.kept().await? {
            Some(kept) => self.keep(&Kept { contact, ..kept }).await,
            None => Ok(()),
        }
    }

    async fn keep(&self, kept: &Kept) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(kept).map_err(|_| Trouble::new(Kind::Folder, "the account has no form for a file"))?;
        self.folder.on_disk(move |folder| folder.keep_account(&bytes)).await
    }

    /// Registers an account. Its key is on the disk before it is used.
    async fn new_account(&self, http: &Http) -> Result<Account, Trouble> {
        let external = self.config.external_account.as_ref().map(|external| {
            let key = URL_SAFE_NO_PAD.decode(external.key.reveal()).expect("the config has checked it");
            ExternalAccountKey::new(external.key_id.clone(), &key)
        });
        let contacts = contacts(&self.config);
        let contact: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let made = builder.create(&wanted, self.config.directory.clone(), external.as_ref()).await;
        let (account, credentials) = made.map_err(|error| Trouble::of(&error, Kind::Account, http.asked()))?;
        self.keep(&Kept { contact: self.config.contact.clone(), credentials }).await?;
        tracing::info!(directory = self.config.directory, "serin has a new account at the authority");
        Ok(account)
    }

    /// Begins an order. It names the certificate that it replaces, if the authority wants to know: such orders often have no limit.
    async fn begin(&mut self, name: &str, replaced: Option<&Pair>) -> Result<(Order, Http), Trouble> {
        let names = [Identifier::Dns(name.to_owned())];
        let (mut account, mut http) = self.account().await?;
        if let Some(replaced) = replaced.and_then(|pair| identifier(&pair.chain[0])) {
            match account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
                Ok(order) => return Ok((order, http)),
                // It does not speak of renewals, or does not know the certificate: then it is an order like the first.
                Err(error) => tracing::debug!(name, %error, "the authority takes no order that replaces a certificate"),
            }
        }
        let mut order = account.new_order(&NewOrder::new(&names)).await;
        if order.as_ref().err().is_some_and(is_unknown_account) {
            tracing::warn!(directory = self.config.directory, "the authority does not know serin's account any more");
            self.account = None;
            account = self.new_account(&http).await?;
            (_, http) = self.account.insert((account.clone(), http)).clone();
            order = account.new_order(&NewOrder::new(&names)).await;
        }
        order.map(|order| (order, http.clone())).map_err(|error| Trouble::of(&error, Kind::Refused, http.asked()))
    }

    async fn try_order(&mut self, name: &str, replaced: Option<&Pair>) -> Result<String, Trouble> {
        let (mut order, http) = self.begin(name, replaced).await?;
        let during = |kind: Kind| move |error: Error| Trouble::of(&error, kind, http.asked());
        let checked = self.prove(&mut order, name).await.map_err(during.clone()(Kind::Challenge))?;
        if let Some(why) = checked {
            return Err(why);
        }
        let key = order.finalize().await.map_err(during.clone()(Kind::Refused))?;
        let issued = order.poll_certificate(&RetryPolicy::new().initial_delay(LOOK_AGAIN).timeout(ISSUED_WITHIN)).await;
        issued.map(|chain| chain + &key).map_err(during(Kind::Refused))
    }

    /// Lets the authority check the name, if it has not lately. Returns why the check failed, if it did.
    async fn prove(&self, order: &mut Order, name: &str) -> Result<Option<Trouble>, Error> {
        // Checks are answered until the end of this function.
        let mut pending = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let kind = match self.config.challenge {
                ChallengeKind::TlsAlpn => ChallengeType::TlsAlpn01,
                ChallengeKind::Http => ChallengeType::Http01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                let wanted = self.config.challenge.name();
                return Ok(Some(Trouble::new(Kind::Refused, format!("the authority offers no {wanted} for this name: set `challenge`"))));
            };
            pending.push(self.await_check(name, &challenge.token, &challenge.key_authorization())?);
            challenge.set_ready().await?;
        }
        let policy = RetryPolicy::new().initial_delay(LOOK_AGAIN).backoff(1.5).timeout(CHECKED_WITHIN);
        match order.poll_ready(&policy).await? {
            OrderStatus::Ready | OrderStatus::Valid => Ok(None),
            OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Invalid => why_invalid(order).await.map(Some),
        }
    }

    fn await_check(&self, name: &str, token: &str, proof: &KeyAuthorization) -> Result<PendingChallenge, Error> {
        match self.config.challenge {
            ChallengeKind::TlsAlpn => Ok(self.challenges.await_handshake(name, challenge_certificate(name, proof.digest().as_ref())?)),
            ChallengeKind::Http => Ok(self.challenges.await_request(token, Bytes::copy_from_slice(proof.as_str().as_bytes()))),
        }
    }
}

impl Authority for Acme {
    async fn order(&mut self, name: &str, replaced: Option<&Pair>) -> Result<String, Trouble> {
        let mut ordered = self.try_order(name, replaced).await;
        for _ in 1..STALE_MOST {
            if !ordered.as_ref().is_err_and(|trouble| trouble.stale) {
                break;
            }
            ordered = self.try_order(name, replaced).await;
        }
        if ordered.is_err() {
            self.account = None;
        }
        ordered
    }

    async fn suggested(&mut self, shown: &Pair) -> Option<(Validity, Duration)> {
        let identifier = identifier(&shown.chain[0])?;
        let (account, _) = self.account().await.ok()?;
        match account.renewal_info(&identifier).await {
            Ok((info, again)) => {
                let window = info.suggested_window;
                Some((Validity { from: window.start.unix_timestamp(), to: window.end.unix_timestamp() }, again))
            }
            Err(error) => {
                tracing::debug!(%error, "the authority does not say when it wants a renewal");
                None
            }
        }
    }
}

fn contacts(config: &Config) -> Vec<String> {
    config.contact.iter().map(|contact| format!("mailto:{contact}")).collect()
}

fn is_unknown_account(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if code(problem) == "accountDoesNotExist")
}

/// The authority writes the reason into the challenge.
async fn why_invalid(order: &mut Order) -> Result<Trouble, Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let state = authorization.refresh().await?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Ok(Trouble::of(&problem.into(), Kind::Challenge, None));
        }
    }
    Ok(Trouble::new(Kind::Challenge, "the authority's check of the name failed, and it does not say why"))
}

/// The certificate by which serin answers a check (RFC 8737, 3).
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, Error> {
    let other = |error: rcgen::Error| Error::Other(Box::new(error));
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).map_err(other)?;
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
    let key = rcgen::KeyPair::generate().map_err(other)?;
    let certificate = params.self_signed(&key).map_err(other)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = rustls::crypto::ring::sign::any_supported_type(&key.into()).map_err(|error| Error::Other(Box::new(error)))?;
    // `from_der` would refuse the certificate, for it knows nothing of the extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
