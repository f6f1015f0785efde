//! Authorisation of a request. A bearer token allows what its scope allows, on its bots. A client certificate allows what
//! `client_scope` allows, but not from a web page, because a browser presents its certificate for the requests of every page: so the
//! Origin is checked, and a change must be JSON, which an HTML form cannot send. If neither is configured, only this machine is
//! allowed: both addresses of the connection must be loopback; proxy headers are refused, because a proxy's connections are local
//! for every client; and the Host must be a local name, against web pages whose DNS name was pointed at this machine.
//!
//! A token of some bots gets the same answer for a bot that is not its own and for one that does not exist.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Method, header};

use crate::admin::connections::Peer;
use crate::admin::problem::ApiError;
use crate::admin::{links, page};
use crate::config::{Admin, BotName, Scope, SecretHash, Token};

pub struct Access<'a> {
    pub admin: &'a Admin,
    /// The listener's address.
    pub address: SocketAddr,
    pub peer: &'a Peer,
}

/// The result for an allowed request: its actor, and the bots that it may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The actor's name in the history.
    pub actor: String,
    pub reach: Reach,
    pub scope: Scope,
}

/// The bots that a request may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The path is open to clients without token and certificate. It grants no bot by name.
    Open,
    AllBots,
    /// The bots that the request's token names.
    Only(Vec<BotName>),
}

impl Reach {
    pub fn has(&self, bot: &str) -> bool {
        match self {
            Reach::AllBots => true,
            Reach::Open => false,
            Reach::Only(bots) => bots.iter().any(|own| own.as_str() == bot),
        }
    }
}

/// Why a request is not allowed.
#[derive(Debug, PartialEq, Eq)]
pub enum Denial {
    NoToken,
    BadToken,
    Scope {
        who: String,
        needed: &'static str,
    },
    /// The bot is not one of the token's.
    Bot {
        asked: String,
        own: Vec<BotName>,
    },
    /// The request is about all bots, but the token is for some.
    NotForOneBot {
        who: String,
    },
    /// An address of the connection that is not a loopback address.
    Remote(IpAddr),
    /// The name of a proxy's header.
    Forwarded(String),
    Host(String),
    Origin,
    ContentType,
}

/// The only path for the scope `report`, which bots themselves have.
const OUTCOMES: &str = "/outcomes";
/// The path continues with a bot's name.
const BOT: &str = "/v1/bots/";
/// Other paths that a token for some bots may use. The list and the events leave other bots out.
const FOR_EACH: [&str; 4] = ["/v1/bots", "/v1/events", "/v1/whoami", "/openapi.json"];
/// The actor if no token and no certificate is needed.
pub const LOCAL: &str = "local";
/// Headers in which proxies describe their client, besides `X-Forwarded-*`.
const PROXIES: [&str; 3] = ["forwarded", "x-real-ip", "via"];
const PROXIES_BEGIN: &str = "x-forwarded-";

impl Access<'_> {
    /// Checks a request. Returns its actor, reach and scope, or why it is not allowed.
    pub fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Granted, Denial> {
        if matches!(path, "/livez" | "/readyz") || page::is_part(path) || (path == "/metrics" && self.admin.metrics_open) {
            return Ok(Granted { actor: "anonymous".to_owned(), reach: Reach::Open, scope: Scope::Read });
        }
        // The link itself is the authorisation. The request may come through a proxy that serves the public URL.
        if path.starts_with(links::BELOW) {
            return Ok(Granted { actor: "link".to_owned(), reach: Reach::Open, scope: Scope::Read });
        }
        let changes = !matches!(*method, Method::GET | Method::HEAD);
        let tokens = !self.admin.tokens.is_empty();
        match (&self.admin.tls, &self.peer.certificate) {
            (Some(tls), Some(name)) if !(tokens && headers.contains_key(header::AUTHORIZATION)) => {
                self.check_origin(headers, |host| headers.get(header::HOST).is_some_and(|own| own.as_bytes() == host.as_bytes()))?;
                allowed(tls.client_scope, changes, path).map_err(|needed| Denial::scope(format!("the certificate {name:?}"), needed))?;
                check_json(changes, headers)?;
                Ok(Granted { actor: name.clone(), reach: Reach::AllBots, scope: tls.client_scope })
            }
            _ if tokens => {
                let token = self.token(headers)?;
                let who = || format!("the token {:?}", token.name);
                let reach = reach(token, path, who)?;
                allowed(token.scope, changes, path).map_err(|needed| Denial::scope(who(), needed))?;
                Ok(Granted { actor: token.name.clone(), reach, scope: token.scope })
            }
            _ => {
                self.check_local(headers)?;
                check_json(changes, headers)?;
                Ok(Granted { actor: LOCAL.to_owned(), reach: Reach::AllBots, scope: Scope::Operate })
            }
        }
    }

    fn token(&self, headers: &HeaderMap) -> Result<&Token, Denial> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let given = SecretHash::of(given.ok_or(Denial::NoToken)?);
        // Compares all tokens in any case, so that the time does not tell which one matches.
        let mut found = None;
        for token in &self.admin.tokens {
            if token.secret.is(&given) {
                found = Some(token);
            }
        }
        found.ok_or(Denial::BadToken)
    }

    fn check_local(&self, headers: &HeaderMap) -> Result<(), Denial> {
        if self.admin.asks_who() {
            return Err(Denial::NoToken);
        }
        // A listener on all addresses also accepts remote clients, so the address that was connected to must be local, too.
        if let Some(remote) = [self.peer.address, self.peer.local].into_iter().find(|address| !address.is_loopback()) {
            return Err(Denial::Remote(remote));
        }
        let of_proxy = |name: &str| PROXIES.contains(&name) || name.starts_with(PROXIES_BEGIN);
        if let Some(name) = headers.keys().map(HeaderName::as_str).find(|name| of_proxy(name)) {
            return Err(Denial::Forwarded(name.to_owned()));
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        if !self.is_own(host) && !is_loopback(host) {
            return Err(Denial::Host(host.to_owned()));
        }
        // An origin that equals the Host is this listener's own page.
        self.check_origin(headers, |origin| self.is_own(origin) || origin == host)
    }

    /// A request without Origin comes from no web page.
    fn check_origin(&self, headers: &HeaderMap, is_own: impl Fn(&str) -> bool) -> Result<(), Denial> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let scheme = if self.peer.tls { "https://" } else { "http://" };
        let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix(scheme)).is_some_and(is_own);
        own.then_some(()).ok_or(Denial::Origin)
    }

    /// Whether the host is `localhost`, a loopback address or the listener's own, with the listener's port.
    fn is_own(&self, host: &str) -> bool {
        let usual = if self.peer.tls { 443 } else { 80 };
        let (name, port) = match host.parse::<SocketAddr>() {
            Ok(address) => (address.ip().is_loopback() || address.ip() == self.address.ip(), Some(address.port())),
            Err(_) => match host.rsplit_once(':') {
                Some((name, port)) => (name.eq_ignore_ascii_case("localhost"), port.parse().ok()),
                None => (
                    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
                    Some(usual),
                ),
            },
        };
        name && port == Some(self.address.port())
    }
}

/// Whether the host is a loopback name without a port. Clients that leave the port out of Host send that, and so do tunnels from a
/// default port. No foreign DNS name can look like this.
fn is_loopback(host: &str) -> bool {
    let ip = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The bots that the token may use on this path. The name in the path is compared as it was sent: bots' names need no escaping, so
/// another spelling is another bot.
fn reach(token: &Token, path: &str, who: impl Fn() -> String) -> Result<Reach, Denial> {
    let Some(own) = &token.bots else { return Ok(Reach::AllBots) };
    let reach = Reach::Only(own.clone());
    match path.strip_prefix(BOT) {
        Some(rest) => {
            let asked = rest.split('/').next().unwrap_or("");
            match reach.has(asked) {
                true => Ok(reach),
                false => Err(Denial::Bot { asked: asked.to_owned(), own: own.clone() }),
            }
        }
        None if FOR_EACH.contains(&path) => Ok(reach),
        None => Err(Denial::NotForOneBot { who: who() }),
    }
}

/// Returns the scope that is needed if this one does not suffice.
fn allowed(scope: Scope, changes: bool, path: &str) -> Result<(), &'static str> {
    let (allowed, needed) = match (changes, path.ends_with(OUTCOMES)) {
        (true, true) => (matches!(scope, Scope::Report | Scope::Operate), "report"),
        (true, false) => (scope == Scope::Operate, "operate"),
        (false, _) => (matches!(scope, Scope::Read | Scope::Operate), "read"),
    };
    allowed.then_some(()).ok_or(needed)
}

fn check_json(changes: bool, headers: &HeaderMap) -> Result<(), Denial> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_json = kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json");
    (is_json || !changes).then_some(()).ok_or(Denial::ContentType)
}

impl Denial {
    fn scope(who: String, needed: &'static str) -> Denial {
        Denial::Scope { who, needed }
    }

    /// The label of `serin_admin_denied_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Denial::NoToken => "no_token",
            Denial::BadToken => "bad_token",
            Denial::Scope { .. } => "scope",
            Denial::Bot { .. } | Denial::NotForOneBot { .. } => "bots",
            Denial::Remote(_) => "remote",
            Denial::Forwarded(_) => "forwarded",
            Denial::Host(_) => "host",
            Denial::Origin => "origin",
            Denial::ContentType => "content_type",
        }
    }
}

impl From<Denial> for ApiError {
    fn from(denial: Denial) -> ApiError {
        match denial {
            Denial::NoToken => {
                ApiError::unauthorized("send Authorization: Bearer <token>, with a token of an [[admin.token]] in the config")
            }
            Denial::BadToken => {
                ApiError::unauthorized("this token is not known here: it was renewed, or it is another serin's; look at [[admin.token]]")
            }
            Denial::Scope { who, needed } => ApiError::forbidden(format!(
                "{who} may not do this: it needs the scope {needed}; use one that has it, or give it that in [admin]"
            )),
            Denial::Bot { asked, own } => ApiError::no_such_bot(&asked, own.iter().map(BotName::as_str)),
            Denial::NotForOneBot { who } => {
                ApiError::forbidden(format!("{who} is for some bots, and this is about all of them: use a token without `bots`"))
            }
            Denial::Remote(address) => ApiError::forbidden(format!(
                "this serin has no tokens, so it answers only connections from its own machine to itself, and {address} is not a loopback address: add an [[admin.token]] to the config and send it"
            )),
            Denial::Forwarded(name) => ApiError::forbidden(format!(
                "this serin has no tokens, so it answers only clients on its own machine, and the header {name:?} says that a proxy asks for somebody: add an [[admin.token]] to the config and send it, or ask without the proxy"
            )),
            Denial::Host(host) => ApiError::forbidden(format!(
                "the Host {host:?} is not this listener: without tokens only localhost and loopback addresses are answered; use http://127.0.0.1 with its port, or add an [[admin.token]] to the config"
            )),
            Denial::Origin => ApiError::forbidden(
                "a web page of another origin may not use this listener: open the page that the listener itself has at /",
            ),
            Denial::ContentType => ApiError::unsupported("send Content-Type: application/json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;
    use crate::config::tls::TlsFiles;
    use axum::http::HeaderValue;

    fn admin(tokens: &[(&str, Scope)]) -> Admin {
        let tokens = tokens.iter().map(|(secret, scope)| Token {
            name: format!("{scope:?}"),
            scope: *scope,
            bots: None,
            secret: SecretHash::of(secret),
            file: None,
        });
        Admin {
            listen: "127.0.0.1:9400".parse().unwrap(),
            tokens: tokens.collect(),
            tls: None,
            metrics_open: false,
            read_only: false,
            show_workspaces: false,
            public_url: None,
            probes: None,
        }
    }

    fn check(admin: &Admin, method: Method, path: &str, lines: &[(header::HeaderName, &str)]) -> Result<String, u16> {
        check_from(&plain(), admin, method, path, lines)
    }

    fn plain() -> Peer {
        Peer::of_test([127, 0, 0, 1].into(), [127, 0, 0, 1].into())
    }

    fn check_from(peer: &Peer, admin: &Admin, method: Method, path: &str, lines: &[(header::HeaderName, &str)]) -> Result<String, u16> {
        let headers: HeaderMap = lines.iter().map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap())).collect();
        let access = Access { admin, address: "127.0.0.1:9400".parse().unwrap(), peer };
        let granted = access.check(&method, path, &headers).map_err(|denial| ApiError::from(denial).status().as_u16())?;
        Ok(granted.actor)
    }

    #[test]
    fn without_tokens_only_loopback_addresses_are_answered_and_no_proxy() {
        let (admin, host) = (admin(&[]), (header::HOST, "localhost:9400"));
        for (from, to, status) in [
            ("127.0.0.1", "127.0.0.1", Ok("local".to_owned())),
            ("127.0.0.2", "127.0.0.1", Ok("local".to_owned())),
            ("::1", "::1", Ok("local".to_owned())),
            ("192.0.2.1", "192.0.2.2", Err(403)),
            ("192.0.2.1", "127.0.0.1", Err(403)),
            ("127.0.0.1", "192.0.2.2", Err(403)),
        ] {
            let peer = Peer::of_test(from.parse().unwrap(), to.parse().unwrap());
            assert_eq!(check_from(&peer, &admin, Method::GET, "/v1/bots", std::slice::from_ref(&host)), status, "{from} {to}");
            assert!(check_from(&peer, &admin, Method::GET, "/readyz", &[]).is_ok());
        }
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-anything", "x-real-ip", "via"] {
            let lines = [host.clone(), (HeaderName::from_static(name), "192.0.2.1")];
            assert_eq!(check(&admin, Method::GET, "/v1/bots", &lines), Err(403), "{name}");
        }
    }

    /// A connection without a certificate may have been opened before the config demanded one.
    #[test]
    fn if_certificates_are_required_no_client_is_local_without_one() {
        let (admin, _, _folder) = with_certificates(Scope::Read, &[]);
        assert_eq!(check(&admin, Method::GET, "/v1/bots", &[(header::HOST, "localhost:9400")]), Err(401));
    }

    #[test]
    fn a_token_of_some_bots_reaches_these_and_what_leaves_the_others_out() {
        let mut admin = admin(&[("o-secret", Scope::Operate)]);
        admin.tokens[0].bots = Some(vec![BotName::parse("a").unwrap()]);
        let get = |path: &str| check(&admin, Method::GET, path, &[(header::AUTHORIZATION, "Bearer o-secret")]).map(drop);
        for path in ["/v1/bots", "/v1/bots/a", "/v1/bots/a/history", "/v1/events", "/openapi.json", "/livez", "/"] {
            assert_eq!(get(path), Ok(()), "{path}");
        }
        for path in ["/v1/bots/b", "/v1/bots/", "/v1/bots/%61", "/v1/bots/a%2F", "/v1/bots/A/history", "/v1/bots//a"] {
            assert_eq!(get(path), Err(404), "{path}");
        }
        for path in ["/metrics", "/v1/notifications/test", "/v1/other"] {
            assert_eq!(get(path), Err(403), "{path}");
        }
    }

    #[test]
    fn without_tokens_only_local_names_are_answered() {
        let admin = admin(&[]);
        for (host, allowed) in [
            ("127.0.0.1:9400", true),
            ("localhost:9400", true),
            ("[::1]:9400", true),
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("evil.example", false),
            ("evil.example:9400", false),
            ("127.0.0.1:80", false),
            ("", false),
        ] {
            assert_eq!(check(&admin, Method::GET, "/v1/bots", &[(header::HOST, host)]).is_ok(), allowed, "{host}");
        }
        let host = (header::HOST, "localhost:9400");
        assert_eq!(check(&admin, Method::GET, "/v1/bots", &[host.clone(), (header::ORIGIN, "http://evil.example")]), Err(403));
        assert!(check(&admin, Method::GET, "/v1/bots", &[host.clone(), (header::ORIGIN, "http://localhost:9400")]).is_ok());
        assert_eq!(check(&admin, Method::GET, "/v1/bots", &[host.clone(), (header::ORIGIN, "http://localhost")]), Err(403));
        let bare = (header::HOST, "localhost");
        assert!(check(&admin, Method::GET, "/v1/bots", &[bare.clone(), (header::ORIGIN, "http://localhost")]).is_ok());
        assert_eq!(check(&admin, Method::GET, "/v1/bots", &[bare, (header::ORIGIN, "http://localhost:3000")]), Err(403));
        assert_eq!(check(&admin, Method::PUT, "/v1/bots/b/weight", &[host.clone(), (header::CONTENT_TYPE, "text/plain")]), Err(415));
        assert!(
            check(&admin, Method::PUT, "/v1/bots/b/weight", &[host, (header::CONTENT_TYPE, "application/json; charset=utf-8")]).is_ok()
        );
        assert!(check(&admin, Method::GET, "/livez", &[]).is_ok());
    }

    #[test]
    fn with_tokens_the_scope_decides() {
        let admin = admin(&[("r-secret", Scope::Read), ("o-secret", Scope::Operate), ("p-secret", Scope::Report)]);
        let with = |method: Method, path: &str, token: &str| check(&admin, method, path, &[(header::AUTHORIZATION, token)]);
        assert_eq!(with(Method::GET, "/v1/bots", "Bearer r-secret"), Ok("Read".to_owned()));
        assert_eq!(with(Method::GET, "/metrics", "bearer r-secret"), Ok("Read".to_owned()));
        assert_eq!(with(Method::PUT, "/v1/bots/b/weight", "Bearer r-secret"), Err(403));
        assert_eq!(with(Method::PUT, "/v1/bots/b/weight", "Bearer o-secret"), Ok("Operate".to_owned()));
        assert_eq!(with(Method::GET, "/v1/bots", "Bearer p-secret"), Err(403));
        assert_eq!(with(Method::GET, "/v1/bots", "Bearer wrong"), Err(401));
        assert_eq!(check(&admin, Method::GET, "/metrics", &[]), Err(401));
        assert!(check(&admin, Method::GET, "/readyz", &[]).is_ok());
    }

    fn with_certificates(scope: Scope, tokens: &[(&str, Scope)]) -> (Admin, Peer, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["serin.example".to_owned()]).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let (certificate, key) = (write("crt", &made.cert.pem()), write("key", &made.signing_key.serialize_pem()));
        let files = TlsFiles { client_authorities: Some(certificate.clone()), certificate, key };
        let loaded = files.load().unwrap();
        let admin = Admin { tls: Some(Tls { files, client_scope: scope, loaded }), ..admin(tokens) };
        (admin, Peer { tls: true, certificate: Some("ana".to_owned()), ..plain() }, folder)
    }

    #[test]
    fn a_certificate_alone_may_do_what_the_config_says() {
        let json = (header::CONTENT_TYPE, "application/json");
        let put = |admin: &Admin, peer: &Peer| check_from(peer, admin, Method::PUT, "/v1/bots/b/weight", std::slice::from_ref(&json));
        let (admin, peer, _folder) = with_certificates(Scope::Read, &[]);
        assert_eq!(check_from(&peer, &admin, Method::GET, "/v1/bots", &[]), Ok("ana".to_owned()));
        assert_eq!(put(&admin, &peer), Err(403));
        let (admin, peer, _folder) = with_certificates(Scope::Operate, &[]);
        assert_eq!(put(&admin, &peer), Ok("ana".to_owned()));
        assert_eq!(check_from(&peer, &admin, Method::PUT, "/v1/bots/b/weight", &[]), Err(415), "as a form of a web page would");
    }

    #[test]
    fn a_token_beside_a_certificate_decides() {
        let (admin, peer, _folder) = with_certificates(Scope::Read, &[("o-secret", Scope::Operate)]);
        let put = |token: &str| check_from(&peer, &admin, Method::PUT, "/v1/bots/b/weight", &[(header::AUTHORIZATION, token)]);
        assert_eq!(put("Bearer o-secret"), Ok("Operate".to_owned()));
        assert_eq!(put("Bearer wrong"), Err(401));
        assert_eq!(check_from(&peer, &admin, Method::GET, "/v1/bots", &[]), Ok("ana".to_owned()));
    }

    #[test]
    fn a_web_page_cannot_use_the_browsers_certificate() {
        let (admin, peer, _folder) = with_certificates(Scope::Operate, &[]);
        let get = |origin: &str| {
            let lines = [(header::HOST, "serin.example:9400"), (header::ORIGIN, origin)];
            check_from(&peer, &admin, Method::GET, "/v1/bots", &lines)
        };
        assert_eq!(get("https://serin.example:9400"), Ok("ana".to_owned()));
        for other in ["http://serin.example:9400", "https://serin.example", "https://evil.example", "null"] {
            assert_eq!(get(other), Err(403), "{other}");
        }
    }

    #[test]
    fn over_tls_a_local_page_has_an_https_origin() {
        let (admin, peer) = (admin(&[]), Peer { tls: true, ..plain() });
        let get =
            |origin| check_from(&peer, &admin, Method::GET, "/v1/bots", &[(header::HOST, "localhost:9400"), (header::ORIGIN, origin)]);
        assert_eq!(get("https://localhost:9400"), Ok("local".to_owned()));
        assert_eq!(get("http://localhost:9400"), Err(403));
    }
}
