//! The secrets of the admin listener: the tokens, and TLS with its certificates. They come with the config. Their files are also read
//! again while serin runs, each for itself and independently of the config, because secrets and certificates are renewed more often,
//! and by other programs. A file that cannot be used is logged once, and its old content stays in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Admin, SecretHash, read_again};
use crate::logs::Complaints;
use crate::meters::Metrics;

/// Topics of complaints beside the tokens' names, which contain no space.
const SAME_SECRET: &str = "all tokens";
const TLS: &str = "the certificates";

#[derive(Debug)]
pub struct Keys {
    current: watch::Sender<Arc<Admin>>,
    metrics: Arc<Metrics>,
    /// About files that cannot be used.
    complaints: Complaints,
}

impl Keys {
    pub fn new(admin: &Admin, metrics: Arc<Metrics>) -> Keys {
        let keys = Keys { current: watch::Sender::new(Arc::new(admin.clone())), metrics, complaints: Complaints::default() };
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
        self.complaints.clear_all();
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
                    self.complaints.clear(&token.name);
                }
                Err(reason) => {
                    self.complaints.report(&token.name, &format!("the file {} of token {:?} {reason}", file.display(), token.name));
                }
            }
        }
        // Each secret must identify one actor: if two tokens have the same secret, none of the new secrets is taken.
        for (index, token) in admin.tokens.iter().enumerate() {
            if let Some(twin) = (0..index).find(|other| secrets[*other] == secrets[index]) {
                let twin = &admin.tokens[twin].name;
                self.complaints.report(SAME_SECRET, &format!("the tokens {twin:?} and {:?} would have the same secret", token.name));
                return false;
            }
        }
        self.complaints.clear(SAME_SECRET);
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
                self.complaints.clear(TLS);
                let changed = loaded.contents != tls.loaded.contents;
                if changed {
                    tracing::info!(not_after = loaded.not_after, "the admin listener has a new certificate, key or client authorities");
                    tls.loaded = loaded;
                }
                changed
            }
            Err(error) => {
                self.complaints.report(TLS, &format!("the new certificates of the admin listener are not taken: {error}"));
                false
            }
        }
    }

    fn publish(&self, admin: Admin) {
        self.metrics.certificate("admin", admin.tls.as_ref().map(|tls| tls.loaded.not_after));
        self.current.send_replace(Arc::new(admin));
    }
}
