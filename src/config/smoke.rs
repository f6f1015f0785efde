//! Smoke requests: serin sends them to an idle side before it sends workspaces there. One JSON object per line.

use std::path::Path;

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;

/// One request, such as a recorded handshake.
#[derive(Clone, Debug, PartialEq)]
pub struct Smoke {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
    /// Statuses that are right; if empty, any 2xx.
    pub expect: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    method: Option<String>,
    path: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    expect: Vec<u16>,
}

/// The most requests of a file. More are a load test.
const REQUESTS_MAX: usize = 100;

/// All requests of the file. The error has the line.
pub fn read(path: &Path) -> Result<Vec<Smoke>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let requests: Vec<Smoke> = lines
        .map(|(number, line)| one(line).map_err(|why| format!("{}:{}: {why}", path.display(), number + 1)))
        .collect::<Result<_, _>>()?;
    if requests.len() > REQUESTS_MAX {
        return Err(format!("{}: {} requests; at most {REQUESTS_MAX}", path.display(), requests.len()));
    }
    Ok(requests)
}

fn one(line: &str) -> Result<Smoke, String> {
    let written: Written = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let default = if written.body.is_empty() { "GET" } else { "POST" };
    let method = written.method.as_deref().unwrap_or(default);
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is no method"))?;
    if !written.path.starts_with('/') || written.path.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(format!("{:?} is no path: it begins with /", written.path));
    }
    let header = |(name, value): (String, String)| {
        let parsed = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value));
        match parsed {
            (Ok(name), Ok(value)) => Ok((name, value)),
            _ => Err(format!("{name:?} is no header, or has a value that none can have")),
        }
    };
    let headers = written.headers.into_iter().map(header).collect::<Result<_, _>>()?;
    Ok(Smoke { method, path: written.path, headers, body: written.body, expect: written.expect })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_read_and_what_is_wrong_has_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("smoke.jsonl");
        let text = "# Slack's\n{\"path\": \"/slack/events\", \"headers\": {\"Content-Type\": \"application/json\"}, \"body\": \"{}\", \"expect\": [200]}\n\n{\"path\": \"/healthz\"}\n";
        std::fs::write(&path, text).unwrap();
        let [handshake, health] = &read(&path).unwrap()[..] else { panic!() };
        assert_eq!((&handshake.method, handshake.headers.len(), handshake.expect.as_slice()), (&Method::POST, 1, &[200][..]));
        assert_eq!((&health.method, health.path.as_str()), (&Method::GET, "/healthz"));
        for (line, told) in [
            ("{\"path\": \"x\"}", "begins with /"),
            ("{\"paths\": \"/\"}", "unknown field"),
            ("{\"path\": \"/\", \"headers\": {\"a b\": \"\"}}", "is no header"),
        ] {
            std::fs::write(&path, format!("\n{line}")).unwrap();
            let why = read(&path).unwrap_err();
            assert!(why.contains(told) && why.contains("smoke.jsonl:2:"), "{why}");
        }
    }
}
