//! No text makes the config's parser panic.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_config_panics(text in pieces()) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.count() > 0 && !error.to_string().is_empty());
        }
    }
}

/// Parts of configs, right and wrong, so that random files get past the syntax.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\]a-z.= \"{}0-9%\\n#']{0,20}",
        prop::sample::select(vec![
            "[proxy]\n",
            "[proxy.limits]\n",
            "[admin]\n",
            "[[admin.token]]\n",
            "[[bot]]\n",
            "[bot.pins]\n",
            "[bot.tester]\n",
            "[bot.rollout]\n",
            "[bot.guard]\n",
            "[bot.upstreams]\n",
        ])
        .prop_map(str::to_owned),
        (
            prop::sample::select(vec![
                "name",
                "match",
                "preset",
                "workspace",
                "upstreams",
                "stable",
                "canary",
                "weight",
                "max",
                "deadline",
                "timeout",
                "secret",
                "scope",
                "listen",
                "body_cap",
                "also_ok",
                "connect_timeout",
                "path_prefix",
                "url",
                "steps",
                "bake",
                "abort_at",
                "harm",
                "p99",
                "most",
                "x",
            ]),
            prop::sample::select(vec![
                "\"a\"",
                "\"slack\"",
                "5",
                "-5",
                "0x7fffffffffffffff",
                "nan",
                "\"5%\"",
                "[\"1%\", \"5% for 1h\", \"100%\"]",
                "{ most = \"5%\" }",
                "\"10s\"",
                "\"1MiB\"",
                "true",
                "[]",
                "[200, \"ä\"]",
                "{}",
                "{ a = \"http://a\" }",
                "{ a = \"http://a\", b = { url = \"https://[::1]\" } }",
                "\"json:/a\"",
                "\"0.0.0.0:80\"",
                "1979-05-27",
                "\"\\u0000é\"",
            ]),
        )
            .prop_map(|(key, value)| format!("{key} = {value}\n")),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
