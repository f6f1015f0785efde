//! `config/serin.toml` has the documentation and the defaults. These tests compare it with the code.

use super::*;

const SLACK: &str = include_str!("../../../config/examples/slack.toml");
const MANY_BOTS: &str = include_str!("../../../config/examples/many-bots.toml");

/// The lines after `# ` that are a key, a value or a header; and those after `# e.g. `, if `examples`.
fn uncommented(text: &str, examples: bool) -> (String, usize) {
    let mut found = 0;
    let mut lines = Vec::new();
    for line in text.lines() {
        let stripped = match (line.strip_prefix("# e.g. "), line.strip_prefix("# ")) {
            (Some(setting), _) => examples.then_some(setting),
            (None, Some(setting)) => Some(setting).filter(|_| is_setting(line)),
            (None, None) => None,
        };
        found += usize::from(stripped.is_some());
        lines.push(stripped.unwrap_or(line));
    }
    (lines.join("\n"), found)
}

/// Recognises `# key = value`. No line of prose begins like that.
fn is_setting(line: &str) -> bool {
    let setting = line.trim_start_matches("# ").split_once(" = ");
    setting.is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

/// The config without the text's hash and the warnings.
fn meant(config: Config) -> String {
    format!("{:#?}", Config { hash: 0, warnings: Vec::new(), ..config })
}

#[test]
fn the_documented_file_is_right_and_warns_of_nothing() {
    let config = parse(DOCUMENTED).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn every_default_is_what_the_documented_file_says() {
    let (text, defaults) = uncommented(DOCUMENTED, false);
    assert!(defaults >= 48, "only {defaults} defaults were found");
    let written = parse(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(meant(written), meant(parse(DOCUMENTED).unwrap()));
}

#[test]
fn every_key_stands_in_the_documented_file() {
    // In two halves, because a report shows at most 20 errors.
    let house = "[proxy.x]\n[proxy.tls]\nx = 1\n[[proxy.tls.certificate]]\nx = 1\ncert_file = \"x\"\nkey_file = \"x\"\n[proxy.tls.acme]\nx = 1\n[proxy.tls.acme.external_account]\nx = 1\n[proxy.limits.x]\n[admin.x]\n[admin.tls]\nx = 1\ncert_file = \"x\"\nkey_file = \"x\"\n[history.x]\n[log.x]\n[[notify]]\nx = 1\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://a\"\nsecret_env = \"CARGO_PKG_NAME\"\n[[admin.token]]\nx = 1\nname = \"a\"\nscope = \"read\"\nenv = \"CARGO_PKG_NAME\"\n";
    let bot = "[bot.x]\n[bot.tester]\nx = 1\nenv = \"CARGO_PKG_NAME\"\n[bot.pins.x]\n[bot.rollout.x]\n[bot.guard.x]\n[bot.guard.late]\nx = 1\n[bot.release]\nx = 1\n[bot.preflight.x]\n[bot.freeze.x]\n";
    let mut tables = 0;
    for wrong in [house, bot] {
        let error = parse(&format!("x = 1\n{DOCUMENTED}\n{wrong}")).unwrap_err().to_string();
        for line in error.lines() {
            let Some((table, keys)) = line.split_once(" takes ") else { continue };
            tables += usize::from(!(wrong == bot && table.ends_with("the file")));
            for key in keys.split(", ").filter(|key| !["proxy", "admin", "history", "log", "bot", "notify"].contains(key)) {
                let stands = DOCUMENTED.lines().any(|line| {
                    let line = line.trim_start_matches("# ").trim_start_matches("e.g. ");
                    line.starts_with(&format!("{key} = ")) || line.trim_matches(['[', ']']).ends_with(&format!(".{key}"))
                });
                assert!(stands || DOCUMENTED.contains(&format!("`{key}`")), "`{key}` is not documented");
            }
        }
    }
    assert_eq!(tables, 22);
}

#[test]
fn every_example_in_the_documented_file_is_right() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "").unwrap();
    std::fs::write(folder.path().join("smoke.jsonl"), "{\"path\": \"/\"}").unwrap();
    std::fs::write(folder.path().join("ci"), "a-token-of-more-than-16").unwrap();
    std::fs::write(folder.path().join("ops-url"), "https://hooks.example.com/T0123").unwrap();
    std::fs::write(folder.path().join("acme-key"), "a2V5LW9mLW1vcmUtdGhhbi0xNg").unwrap();
    std::fs::write(folder.path().join("ops-key"), "a-key-of-more-than-16").unwrap();
    let made = rcgen::generate_simple_self_signed(["serin.example".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (file, pem) in [
        ("tls.crt", &certificate),
        ("tls.key", &key),
        ("ca.crt", &certificate),
        ("bots.example.com.crt", &certificate),
        ("bots.example.com.key", &key),
    ] {
        std::fs::write(folder.path().join(file), pem).unwrap();
    }
    let (text, _) = uncommented(DOCUMENTED, true);
    let text = text
        .replace("/run/secrets/serin-ci", "ci")
        .replace("/run/secrets/ops-", "ops-")
        .replace("/run/secrets/acme-", "acme-")
        .replace("/run/tls/", "")
        .replace("upstream = \"green\"", "upstream = \"blue\"")
        .replace("SERIN_TESTER", "CARGO_PKG_NAME")
        // The example beside it has one upstream, so the active one is removed.
        .replace("upstreams = { blue = \"http://127.0.0.1:3001\", green = \"http://127.0.0.1:3002\" }", "")
        .replace("canary = \"green\"", "")
        .replace("weight = \"0%\"", "");
    let config = super::super::parse(&text, &folder.path().join("serin.toml")).unwrap_or_else(|error| panic!("{error}"));
    let bot = &config.bots[0];
    assert_eq!((config.proxy.workers, config.admin.tokens.len(), bot.upstreams[0].version.as_deref()), (4, 1, Some("v41")));
    assert_eq!((bot.guard.limits.0.len(), bot.guard.limits.0[4].least_requests), (5, 200));
    let tls = config.proxy.tls.as_ref().unwrap();
    let acme = tls.acme.as_ref().unwrap();
    assert!(acme.domains == ["hooks.example.com"] && acme.external_account.is_some() && acme.authorities.is_some());
    assert_eq!((tls.certificates.len(), tls.listen.unwrap().port()), (1, 8443));
    assert!(config.proxy.trusted_proxies.contains([10, 1, 2, 3].into()));
    assert_eq!((config.notifiers.len(), config.admin.public_url.is_some(), bot.drill_every.is_some()), (1, true, true));
    assert!(config.admin.probes.is_some() && config.admin.tokens[0].bots.is_some());
    assert!(bot.release.is_some() && bot.preflight.smoke.is_some() && bot.preflight.expect == [200, 204]);
    assert!(bot.tester.is_some() && bot.matches.host.is_some() && bot.upstreams[0].url.ca_file.is_some());
}

#[test]
fn the_examples_are_right() {
    let slack = parse(SLACK).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((slack.bots.len(), slack.bots[0].canary, slack.warnings.len()), (1, Some(1), 0));
    let many = MANY_BOTS.replace("env = \"SERIN_TESTER\"", "env = \"CARGO_PKG_NAME\"");
    let many = parse(&many).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = many.bots.iter().map(|bot| bot.name.as_str()).collect();
    assert_eq!(names, ["support", "reviews", "internal"]);
}
