//! A request's head in HTTP/2 as the head of a request in HTTP/1, which is what upstreams get.

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::http1::{BadTarget, Decoder, FIELDS_MAX, Fields, Known, RequestHead, Target, Version};
use crate::proxy::problem::Problem;

/// What a request states about the answers that its client can read.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The request is a HEAD: its answer has no body.
    pub to_head: bool,
    pub trailers: bool,
}

impl Asked {
    pub fn by(parts: &Parts) -> Asked {
        let trailers = parts.headers.get(http::header::TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
        Asked { to_head: parts.method == Method::HEAD, trailers }
    }
}

/// The announced length of the body. The library has refused a length that is no number, and two that differ.
pub fn length(parts: &Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The library has checked names, values and pseudo-header fields, and has refused fields about the connection (RFC 9113, 8.2.2).
pub fn read(parts: Parts) -> Result<RequestHead, Problem> {
    let Parts { method, uri, headers, .. } = parts;
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let fields = fields(authority, &headers)?;
    let target = match uri.path_and_query() {
        Some(path) => Target::parse(path.as_str().to_owned().into()),
        None => Err(BadTarget),
    };
    let body = Decoder::length(0);
    Ok(RequestHead { method, target, version: Version::Http11, fields, body, keep_alive: true })
}

/// The fields, with the authority as Host. A Host beside another authority is refused: two readers could take either.
fn fields(authority: Option<&[u8]>, headers: &HeaderMap) -> Result<Fields, Problem> {
    if let Some(authority) = authority
        && headers.get_all(HOST).iter().any(|host| !host.as_bytes().eq_ignore_ascii_case(authority))
    {
        return Err(Problem::BadHost);
    }
    if headers.len() > FIELDS_MAX {
        return Err(Problem::HeadTooLarge);
    }
    // A client may send its cookies in several fields; in HTTP/1 they are one (RFC 9113, 8.2.3).
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(|value| value.as_bytes()).collect();
    let cookies = cookies.join(&b"; "[..]);
    let cookie = (!cookies.is_empty()).then_some((&b"cookie"[..], &cookies[..]));
    let host = authority.map(|authority| (Known::Host.name().as_bytes(), authority));
    let others = headers.iter().filter(|(name, _)| **name != COOKIE && (authority.is_none() || **name != HOST));
    let others = others.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    Ok(Fields::of(host.into_iter().chain(others).chain(cookie)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, lines: &[(&str, &str)]) -> Result<RequestHead, Problem> {
        let builder = lines.iter().fold(http::Request::get(uri), |builder, (name, value)| builder.header(*name, *value));
        read(builder.body(()).unwrap().into_parts().0)
    }

    fn told(head: &RequestHead) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        head.fields.iter().map(|field| text(field.name) + ": " + &text(field.value)).collect()
    }

    #[test]
    fn the_authority_is_the_host() {
        let head = of("https://bot.example:8443/a?b", &[("x-a", "1"), ("x-b", "2")]).unwrap();
        assert_eq!(told(&head), ["host: bot.example:8443", "x-a: 1", "x-b: 2"]);
        assert_eq!(head.target.unwrap(), Target::parse("/a?b".to_owned().into()).unwrap());
        assert_eq!(told(&of("https://a/", &[("host", "A")]).unwrap()), ["host: a"]);
        assert_eq!(told(&of("/", &[("host", "a")]).unwrap()), ["host: a"]);
        assert_eq!(of("https://a/", &[("host", "b")]).unwrap_err(), Problem::BadHost);
    }

    #[test]
    fn cookies_become_one_field() {
        assert_eq!(told(&of("/", &[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]).unwrap()), ["x-a: 1", "cookie: a=1; b=2"]);
    }

    #[test]
    fn as_many_fields_are_taken_as_in_http_1() {
        let many = |n: usize| of("/", &vec![("x", "1"); n]).map(|head| head.fields.len());
        assert_eq!((many(FIELDS_MAX), many(FIELDS_MAX + 1)), (Ok(FIELDS_MAX), Err(Problem::HeadTooLarge)));
    }
}
