//! The names of tokens, and the bots of a token; and `probes`.

use super::*;

fn token(name: &str, more: &str) -> String {
    bot_with(&format!("[[admin.token]]\nname = \"{name}\"\nscope = \"read\"\nenv = \"CARGO_PKG_NAME\"\n{more}"))
}

#[test]
fn no_other_actor_of_the_history_has_the_name_of_a_token() {
    for name in ["local", "config", "ratchet", "link", "cert", "anonymous"] {
        assert_eq!(
            told(&token(name, "")),
            [format!(
                "7:8 a token cannot be named \"{name}\": the history calls somebody else so: write another name, such as \"{name}-ops\""
            )]
        );
    }
    for (name, fit) in [("link:x", "link-x"), ("cert:ana", "cert-ana"), ("Local", "local")] {
        assert_eq!(told(&token(name, "")), [format!("7:8 a name cannot be \"{name}\": write \"{fit}\"")]);
    }
    assert!(parse(&token("local-ops", "")).is_ok());
}

#[test]
fn a_token_names_bots_that_there_are() {
    assert_told(&[
        (token("ci", "bots = [\"b\"]"), "10:9 there is no bot `b`: write \"a\""),
        (token("ci", "bots = [\"a\", \"supprot\"]"), "10:14 there is no bot `supprot`: write \"a\""),
        (token("ci", "bots = []"), "10:8 `bots` names no bot: name some, or leave it out: then the token is for all bots"),
        (token("ci", "bots = \"a\""), "10:8 `bots` is not a list of texts: write it in brackets: [\"…\"]"),
    ]);
    let config = parse(&token("ci", "bots = [\"a\"]")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.admin.tokens[0].bots.as_deref(), Some(&[BotName::parse("a").unwrap()][..]));
}

#[test]
fn probes_have_an_address_of_their_own_and_need_no_token() {
    assert!(parse(&bot_with("[admin]\nprobes = \"0.0.0.0:9401\"")).is_ok());
    assert_told(&bots(&[
        ("[admin]\nprobes = \"0.0.0.0:9400\"", "7:10 [admin] and [admin] probes both listen on port 9400: [admin] probes listens here"),
        ("[admin]\nprobes = \"127.0.0.1:8080\"", "7:10 [proxy] and [admin] probes both listen on port 8080: [admin] probes listens here"),
        (
            "[admin]\nprobes = 9401",
            "7:10 `probes` is not an address to listen on: write \"0.0.0.0:9401\", or \"127.0.0.1:9401\" for this machine only",
        ),
    ]));
}
