//! What an operator does with the bot `support`: actions, their refusals, and a new config.

use serde_json::Value;

use super::{Answer, Ask, Handle, Process, Upstream, eventually};

/// No step ends by itself while a test runs.
pub const LONG_BAKE: &str = "rollout = { steps = [\"50%\", \"75%\", \"100%\"], bake = \"1h\" }";
/// Without traffic, a step is held for a human after one second.
pub const SHORT_BAKE: &str = "rollout = { steps = [\"50%\", \"75%\", \"100%\"], bake = \"1s\", deadline = \"1s\" }";

/// Two upstreams. The first answers `blue`, the second `green`.
pub fn two_upstreams() -> (Upstream, Upstream) {
    (Upstream::answering("blue"), Upstream::answering("green"))
}

/// The request for an action of the bot `support`.
pub fn post_action(name: &str, body: &str) -> Ask {
    Ask::new("POST", &format!("/v1/bots/support/{name}")).json(body)
}

impl Handle {
    /// Requests an action of the bot `support`, which must succeed. Returns the answer's document.
    #[track_caller]
    pub fn act(&self, name: &str, body: &str) -> Value {
        let answer = self.admin(post_action(name, body));
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        answer.json()
    }

    /// Waits until the workers send workspace `T1` to this upstream. The status and the log show a change that nobody waits for, such as
    /// a reload, before the workers serve it.
    #[track_caller]
    pub fn is_served_by(&self, upstream: &str) {
        eventually(&format!("{upstream} serves"), || (self.ask(&Ask::of("T1")).text() == upstream).then_some(()));
    }

    /// Waits until the controller's ticks have counted about two more seconds. For tests that nothing changes by itself.
    #[track_caller]
    pub fn two_ticks_pass(&self) {
        let counted = || -> f64 {
            let traffic = self.admin(Ask::new("GET", "/v1/bots/support/traffic")).json();
            traffic["points"].as_array().unwrap().iter().map(|point| point["seconds"].as_f64().unwrap()).sum()
        };
        let before = counted();
        eventually("two ticks", || (counted() > before + 1.5).then_some(()));
    }
}

impl Answer {
    /// Asserts that the admin API refused the request, with this status, this code, and this text in the detail.
    #[track_caller]
    pub fn is_refusal(&self, status: u16, code: &str, detail: &str) {
        assert_eq!(self.status, status, "{self:?}");
        self.is_problem_document(code);
        assert!(self.json()["detail"].as_str().unwrap().contains(detail), "{}", self.text());
    }
}

impl Process {
    /// Replaces the config, and waits until the new one is in force.
    #[track_caller]
    pub fn apply_config(&self, text: &str) {
        let hash = self.config_hash();
        self.replace_config(text);
        eventually("the new config", || (self.config_hash() != hash).then_some(()));
    }
}
