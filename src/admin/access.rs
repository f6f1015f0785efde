//! Who may do what. With tokens: a bearer token of the right scope. Without: only from this machine, and not from a
//! web page that happens to be open on it (Host and Origin are checked, and a change must be JSON, which a form is not).

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, header};
use subtle::ConstantTimeEq;

use super::problem::ApiError;
use crate::config::{Admin, Scope, Token};

pub struct Access<'a> {
    pub admin: &'a Admin,
    pub address: SocketAddr,
}

/// What a bot itself may do, and no more.
const OUTCOMES: &str = "/outcomes";

impl Access<'_> {
    /// The actor's name, if this is allowed.
    pub fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<String, ApiError> {
        if matches!(path, "/livez" | "/readyz") || (path == "/metrics" && self.admin.metrics_open) {
            return Ok("anonymous".to_owned());
        }
        let changes = !matches!(*method, Method::GET | Method::HEAD);
        match self.admin.tokens.is_empty() {
            true => self.check_local(headers)?,
            false => {
                let token = self.token(headers)?;
                let (allowed, needed) = match (changes, path.ends_with(OUTCOMES)) {
                    (true, true) => (matches!(token.scope, Scope::Report | Scope::Operate), "report"),
                    (true, false) => (token.scope == Scope::Operate, "operate"),
                    (false, _) => (matches!(token.scope, Scope::Read | Scope::Operate), "read"),
                };
                if !allowed {
                    return Err(ApiError::forbidden(format!("the token {:?} may not do this: it needs the scope {needed}", token.name)));
                }
                return Ok(token.name.clone());
            }
        }
        if changes && !is_json(headers) {
            return Err(ApiError::unsupported("send Content-Type: application/json"));
        }
        Ok("local".to_owned())
    }

    fn token(&self, headers: &HeaderMap) -> Result<&Token, ApiError> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let given = given.ok_or_else(|| ApiError::unauthorized("send Authorization: Bearer <token>"))?;
        // All are compared, whatever comes of it, so that the time does not tell which one was near.
        let mut found = None;
        for token in &self.admin.tokens {
            if bool::from(token.secret.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(token);
            }
        }
        found.ok_or_else(|| ApiError::unauthorized("this token is not known here"))
    }

    fn check_local(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        if !self.is_own(host) {
            return Err(ApiError::forbidden(format!(
                "the Host {host:?} is not this listener: without tokens only local names are answered"
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")).is_some_and(|host| self.is_own(host));
        own.then_some(()).ok_or_else(|| ApiError::forbidden("a web page of another origin may not use this listener"))
    }

    /// `localhost`, a loopback address, or the listener's own, with its port.
    fn is_own(&self, host: &str) -> bool {
        let (name, port) = match host.parse::<SocketAddr>() {
            Ok(address) => (address.ip().is_loopback() || address.ip() == self.address.ip(), Some(address.port())),
            Err(_) => match host.rsplit_once(':') {
                Some((name, port)) => (name.eq_ignore_ascii_case("localhost"), port.parse().ok()),
                None => {
                    (host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()), Some(80))
                }
            },
        };
        name && port == Some(self.address.port())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn admin(tokens: &[(&str, Scope)]) -> Admin {
        let tokens = tokens.iter().map(|(secret, scope)| Token { name: format!("{scope:?}"), scope: *scope, secret: (*secret).to_owned() });
        Admin { listen: "127.0.0.1:9400".parse().unwrap(), tokens: tokens.collect(), metrics_open: false, read_only: false }
    }

    fn check(admin: &Admin, method: Method, path: &str, lines: &[(header::HeaderName, &str)]) -> Result<String, u16> {
        let headers: HeaderMap = lines.iter().map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap())).collect();
        Access { admin, address: "127.0.0.1:9400".parse().unwrap() }.check(&method, path, &headers).map_err(|e| e.status().as_u16())
    }

    #[test]
    fn without_tokens_only_local_names_are_answered() {
        let admin = admin(&[]);
        for (host, allowed) in [
            ("127.0.0.1:9400", true),
            ("localhost:9400", true),
            ("[::1]:9400", true),
            ("evil.example:9400", false),
            ("127.0.0.1:80", false),
            ("", false),
        ] {
            assert_eq!(check(&admin, Method::GET, "/v1/bots", &[(header::HOST, host)]).is_ok(), allowed, "{host}");
        }
        let host = (header::HOST, "localhost:9400");
        assert_eq!(check(&admin, Method::GET, "/v1/bots", &[host.clone(), (header::ORIGIN, "http://evil.example")]), Err(403));
        assert!(check(&admin, Method::GET, "/v1/bots", &[host.clone(), (header::ORIGIN, "http://localhost:9400")]).is_ok());
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
}
