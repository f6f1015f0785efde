//! The secrets of the admin listener: the tokens, and TLS with its certificates. They come with the config. Their files are also read
//! again while serin runs, each for itself and independently of the config, because secrets and certificates are renewed more often,
//! and by other programs. A file that cannot be used is logged once, and its old content stays in force.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::{Admin, SecretHash, read_again};
use crate::meters::Metrics;

/// Keys of `errors` beside the tokens' names, which contain no space.
const SAME_SECRET: &str = "all tokens";
const TLS: &str = "the certificates";

#[derive(Debug)]
pub struct Keys {
    current: watch::Sender<Arc<Admin>>,
    metrics: Arc<Metrics>,
    /// By topic: the last error about a file that cannot be used.
    errors: Mutex<HashMap<String, String>>,
}

impl Keys {
    pub fn new(admin: &Admin, metrics: Arc<Metrics>) -> Keys {
        let keys = Keys { current: watch::Sender::new(Arc::new(admin.clone())), metrics, errors: Mutex::default() };
        keys.publish(admin.clone());
        keys
    }

    pub fn current(&self) -> Arc<Admin> {
        self.current.borrow().clone()
    }

    pub fn follow(&self) -> watch::Receiver<Arc<Admin>> {
        self.current.subscribe()
    }

    /// The files that are read again.
    pub fn files(&self) -> Vec<PathBuf> {
        let admin = self.current();
        let tls = admin.tls.iter().flat_map(|tls| tls.files.all());
        admin.tokens.iter().filter_map(|token| token.file.as_deref()).chain(tls).map(Path::to_owned).collect()
    }

    /// Takes the secrets of a config that is now in force. The config has just read the files.
    pub fn take(&self, admin: &Admin) {
        self.last_errors().clear();
        self.publish(admin.clone());
    }

    /// Reads the files again and puts their changes in force.
    pub fn refresh(&self) {
        let mut admin = (*self.current()).clone();
        let tokens = self.refresh_tokens(&mut admin);
        let tls = self.refresh_tls(&mut admin);
        if tokens || tls {
            self.publish(admin);
        }
    }

    fn refresh_tokens(&self, admin: &mut Admin) -> bool {
        let mut secrets: Vec<SecretHash> = admin.tokens.iter().map(|token| token.secret).collect();
        for (token, secret) in admin.tokens.iter().zip(&mut secrets) {
            let Some(file) = &token.file else { continue };
            match read_again(file) {
                Ok(read) => {
                    *secret = read;
                    self.clear_error(&token.name);
                }
                Err(reason) => {
                    self.report_error(&token.name, &format!("the file {} of token {:?} {reason}", file.display(), token.name));
                }
            }
        }
        // Each secret must identify one actor: if two tokens have the same secret, none of the new secrets is taken.
        for (index, token) in admin.tokens.iter().enumerate() {
            if let Some(twin) = (0..index).find(|other| secrets[*other] == secrets[index]) {
                let twin = &admin.tokens[twin].name;
                self.report_error(SAME_SECRET, &format!("the tokens {twin:?} and {:?} would have the same secret", token.name));
                return false;
            }
        }
        self.clear_error(SAME_SECRET);
        let mut changed = false;
        for (token, secret) in admin.tokens.iter_mut().zip(secrets).filter(|(token, secret)| token.secret != *secret) {
            tracing::info!(token = token.name, "the token has a new secret; the old one is not taken any more");
            token.secret = secret;
            changed = true;
        }
        changed
    }

    fn refresh_tls(&self, admin: &mut Admin) -> bool {
        let Some(tls) = &mut admin.tls else { return false };
        match tls.files.load() {
            Ok(loaded) => {
                self.clear_error(TLS);
                let changed = loaded.contents != tls.loaded.contents;
                if changed {
                    tracing::info!(not_after = loaded.not_after, "the admin listener has a new certificate, key or client authorities");
                    tls.loaded = loaded;
                }
                changed
            }
            Err(error) => {
                self.report_error(TLS, &format!("the new certificates of the admin listener are not taken: {error}"));
                false
            }
        }
    }

    fn clear_error(&self, topic: &str) {
        self.last_errors().remove(topic);
    }

    fn report_error(&self, topic: &str, reason: &str) {
        if self.last_errors().insert(topic.to_owned(), reason.to_owned()).is_none_or(|last| last != reason) {
            tracing::error!("{reason}; what was read before serves on");
        }
    }

    fn last_errors(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, admin: Admin) {
        self.metrics.certificate("admin", admin.tls.as_ref().map(|tls| tls.loaded.not_after));
        self.current.send_replace(Arc::new(admin));
    }
}
