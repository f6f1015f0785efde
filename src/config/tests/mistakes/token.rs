//! What a token may be named.

use super::*;

fn token(name: &str) -> String {
    bot_with(&format!("[[admin.token]]\nname = \"{name}\"\nscope = \"read\"\nenv = \"CARGO_PKG_NAME\""))
}

#[test]
fn nobody_else_of_the_history_has_a_tokens_name() {
    for name in ["local", "config", "ratchet", "link", "cert", "anonymous"] {
        assert_eq!(
            told(&token(name)),
            [format!(
                "7:8 a token cannot be named \"{name}\": the history calls somebody else so: write another name, such as \"{name}-ops\""
            )]
        );
    }
    for (name, fit) in [("link:x", "link-x"), ("cert:ana", "cert-ana"), ("Local", "local")] {
        assert_eq!(told(&token(name)), [format!("7:8 a name cannot be \"{name}\": write \"{fit}\"")]);
    }
    assert!(parse(&token("local-ops")).is_ok());
}
