//! The target of a request (RFC 9112, 3.2). Path and query stay unchanged, byte for byte, because platforms sign them.

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

/// A path in the form that an origin server expects, and the authority if the target has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Begins with `/`, or is `*`.
    pub path: PathAndQuery,
    /// The authority of the absolute form, `http://authority/path`.
    pub authority: Option<String>,
}

/// The target is neither a path, nor a whole URL, nor `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTarget;

impl Target {
    pub fn parse(text: Bytes) -> Result<Target, BadTarget> {
        // A fragment is only for the client and not allowed here (RFC 9112, 3.2).
        if memchr::memchr(b'#', &text).is_some() {
            return Err(BadTarget);
        }
        match text.first() {
            Some(b'/') => {}
            Some(b'*') if text.len() == 1 => {}
            Some(_) | None => return Target::absolute(&text),
        }
        let path = PathAndQuery::from_maybe_shared(text).map_err(|_| BadTarget)?;
        Ok(Target { path, authority: None })
    }

    fn absolute(text: &[u8]) -> Result<Target, BadTarget> {
        let uri = Uri::try_from(text).map_err(|_| BadTarget)?;
        let (Some(_), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(BadTarget) };
        let path = match uri.path_and_query() {
            // `http://host?x` has a query and no path.
            Some(path) if path.as_str().starts_with('?') => ["/", path.as_str()].concat().try_into().map_err(|_| BadTarget)?,
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        };
        Ok(Target { path, authority: Some(authority.as_str().to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_stay_as_they_came() {
        for text in ["/", "/?", "//", "/a%2Fb/../c?x=/../&y=%20", "*", "/\u{e4}", "/a\"{b}|", "/a\\b"] {
            let target = Target::parse(Bytes::from(text)).unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((target.path.as_str(), target.authority), (text, None));
        }
    }

    #[test]
    fn the_absolute_form_says_whose_it_is() {
        for (text, path, authority) in [
            ("http://a.example:81/b?c", "/b?c", "a.example:81"),
            ("HTTP://a.example", "/", "a.example"),
            ("http://a.example?x=1", "/?x=1", "a.example"),
            ("http://u@a.example/", "/", "u@a.example"),
        ] {
            let target = Target::parse(Bytes::from(text)).unwrap();
            assert_eq!((target.path.as_str(), target.authority.as_deref()), (path, Some(authority)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["a.example", "a.example:443", "**", "foo/bar", "/a#b", "http://a.example/b#c", "#", "?x", "http:///x", "mailto:x"] {
            assert_eq!(Target::parse(Bytes::from(text)), Err(BadTarget), "{text}");
        }
    }
}
