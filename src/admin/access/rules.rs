//! The access rules of the admin listener: everything that decides which clients are admitted. A connection is served under the rules
//! that it was opened under, or it is closed, so that no old connection keeps what a new one would not get.

use crate::config::tls::Hash;
use crate::config::{Admin, BotName, Scope, SecretHash};

/// Equal rules admit the same clients to the same things. Serin's own certificate is not part of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    tokens: Vec<TokenRule>,
    tls: Option<TlsRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenRule {
    name: String,
    scope: Scope,
    bots: Option<Vec<BotName>>,
    secret: SecretHash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TlsRule {
    client_authorities: Option<Hash>,
    client_scope: Scope,
}

impl Rules {
    pub fn of(admin: &Admin) -> Rules {
        let tokens = admin.tokens.iter().map(|token| TokenRule {
            name: token.name.clone(),
            scope: token.scope,
            bots: token.bots.clone(),
            secret: token.secret,
        });
        let tls = admin.tls.as_ref();
        Rules {
            tokens: tokens.collect(),
            tls: tls.map(|tls| TlsRule { client_authorities: tls.loaded.client_authorities, client_scope: tls.client_scope }),
        }
    }
}
