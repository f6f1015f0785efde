//! Slack: events as JSON, slash commands as a form, interactivity as JSON in a form's field `payload`.

use super::entry::{PLAIN, Preset, secs};
use super::mark::{Literal, Mark, RetryMark};

const HANDSHAKES: &[Mark] = &[Mark::Json("/type", Literal::Text("url_verification")), Mark::Form("ssl_check", "1")];

const RETRY: Option<RetryMark> = Some(RetryMark::Header {
    mark: "x-slack-retry-num",
    reason: "x-slack-retry-reason",
    reasons: &["http_timeout", "http_error", "connection_failed", "ssl_error", "too_many_redirects", "unknown_error"],
});

/// The order is that of Slack's own framework, Bolt. `team` is null in an organisation's installation, and a string or an object
/// otherwise.
pub(super) static SLACK: Preset = Preset {
    name: "slack",
    about: "Slack: events, slash commands, interactivity; by team",
    sources: &[
        "team:json:/view/app_installed_team_id",
        "team:json:/team",
        "team:json:/team/id",
        "team:json:/authorizations/0/team_id",
        "team:json:/team_id",
        "team:json:/event/team_id",
        "team:json:/event/team",
        "team:json:/user/team_id",
        "team:json:/view/team_id",
        "team:form:team_id",
        "team:form_json:payload#/view/app_installed_team_id",
        "team:form_json:payload#/team",
        "team:form_json:payload#/team/id",
        "team:form_json:payload#/authorizations/0/team_id",
        "team:form_json:payload#/team_id",
        "team:form_json:payload#/event/team_id",
        "team:form_json:payload#/event/team",
        "team:form_json:payload#/user/team_id",
        "team:form_json:payload#/view/team_id",
    ],
    deadline: secs(3),
    handshakes: HANDSHAKES,
    retry: RETRY,
    ..PLAIN
};

/// For bots to which an Enterprise Grid organisation is one customer: the organisation, or the team if there is none.
pub(super) static SLACK_ENTERPRISE: Preset = Preset {
    name: "slack_enterprise",
    about: "Slack, by Enterprise Grid organisation, else by team",
    sources: &[
        "ent:json:/enterprise/id",
        "ent:json:/authorizations/0/enterprise_id",
        "ent:json:/enterprise_id",
        "ent:form:enterprise_id",
        "ent:form_json:payload#/enterprise/id",
        "ent:form_json:payload#/authorizations/0/enterprise_id",
        "ent:form_json:payload#/enterprise_id",
        "team:json:/view/app_installed_team_id",
        "team:json:/team",
        "team:json:/team/id",
        "team:json:/authorizations/0/team_id",
        "team:json:/team_id",
        "team:json:/event/team_id",
        "team:json:/event/team",
        "team:json:/user/team_id",
        "team:json:/view/team_id",
        "team:form:team_id",
        "team:form_json:payload#/view/app_installed_team_id",
        "team:form_json:payload#/team",
        "team:form_json:payload#/team/id",
        "team:form_json:payload#/team_id",
        "team:form_json:payload#/user/team_id",
        "team:form_json:payload#/view/team_id",
    ],
    deadline: secs(3),
    handshakes: HANDSHAKES,
    retry: RETRY,
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use crate::identify::example::{Request, form, get, json, payload, preset};

    fn slack(request: Request) -> String {
        request.to(&preset("slack"))
    }

    fn enterprise(request: Request) -> String {
        request.to(&preset("slack_enterprise"))
    }

    const MESSAGE: &str = r#"{"token":"one-long-verification-token","team_id":"T061EG9R6","context_team_id":"T061EG9R6",
        "context_enterprise_id":null,"api_app_id":"A0PNCHHK2","event":{"type":"message","channel":"D024BE91L",
        "user":"U2147483697","text":"Live long and prospect, \"captain\".","ts":"1355517523.000005","team":"T061EG9R6",
        "channel_type":"im"},"type":"event_callback","event_id":"Ev0PV52K21","event_time":1355517523,
        "authorizations":[{"enterprise_id":null,"team_id":"T061EG9R6","user_id":"U222222222","is_bot":true,
        "is_enterprise_install":false}],"is_ext_shared_channel":false}"#;

    /// In a channel shared by two workspaces `team_id` is the sender's, and the installation is the one in `authorizations`.
    const SHARED: &str = r#"{"team_id":"T0SENDER","event":{"type":"message","team":"T0SENDER"},"type":"event_callback",
        "authorizations":[{"enterprise_id":"E0GRID","team_id":"T0INSTALLED","user_id":"U2"}]}"#;

    const COMMAND: &str = "token=gIkuvaNzQIHg97ATvDxqgjtO&team_id=T0001&team_domain=example&enterprise_id=E0001&\
        enterprise_name=Globular%20Construct%20Inc&channel_id=C2147483705&channel_name=test&user_id=U2147483697&\
        user_name=Steve&command=%2Fweather&text=94070&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F1234%2F5678&\
        trigger_id=13345224609.738474920.8088930838d88f008e0&api_app_id=A123456";

    const ACTIONS: &str = r#"{"type":"block_actions","user":{"id":"UA8RXUSPL","username":"jtorrance","team_id":"T9TK3CUKW"},
        "api_app_id":"AABA1ABCD","container":{"type":"message"},"team":{"id":"T9TK3CUKW","domain":"example"},
        "enterprise":null,"is_enterprise_install":false,"actions":[{"action_id":"WaXA","value":"click_me & go + on"}]}"#;

    /// An organisation's installation: the team is null, and the view or the user has the id.
    const ORG_SHORTCUT: &str = r#"{"type":"shortcut","team":null,"enterprise":{"id":"E0ORG","name":"Org"},
        "is_enterprise_install":true,"user":{"id":"W111","team_id":"T0USER"},"callback_id":"open"}"#;

    const ORG_VIEW: &str = r#"{"type":"view_submission","team":null,"enterprise":{"id":"E0ORG"},"user":{"id":"W111",
        "team_id":"T0USER"},"view":{"id":"V1","team_id":"T0VIEW","app_installed_team_id":"T0INSTALLED","state":{"values":{}}}}"#;

    #[test]
    fn an_event_belongs_to_the_authorised_team() {
        assert_eq!(slack(json(MESSAGE)), "team:T061EG9R6");
        assert_eq!(slack(json(SHARED)), "team:T0INSTALLED");
        assert_eq!(slack(json(r#"{"type":"app_rate_limited","team_id":"T1","minute_rate_limited":1518467820}"#)), "team:T1");
        assert_eq!(slack(json(r#"{"event":{"type":"team_join","user":{"team_id":"T1"}}}"#)), "missing");
        assert_eq!(slack(json(r#"{"event":{"type":"message","team":"T2"}}"#)), "team:T2");
    }

    #[test]
    fn commands_and_interactivity_name_the_team_of_the_events() {
        assert_eq!(slack(form(COMMAND)), "team:T0001");
        assert_eq!(slack(payload(ACTIONS)), "team:T9TK3CUKW");
        assert_eq!(slack(payload(r#"{"type":"message_action","team":{"id":"T3","domain":"x"},"user":{"id":"U1"}}"#)), "team:T3");
        assert_eq!(slack(payload(r#"{"type":"workflow_step_edit","team":"T4"}"#)), "team:T4");
    }

    #[test]
    fn an_organisations_installation_has_a_null_team() {
        assert_eq!(slack(payload(ORG_SHORTCUT)), "team:T0USER");
        assert_eq!(slack(payload(ORG_VIEW)), "team:T0INSTALLED");
        assert_eq!(slack(payload(r#"{"type":"shortcut","team":{"id":null},"user":{"id":"W1"}}"#)), "missing");
        assert_eq!(slack(payload(r#"{"type":"shortcut""#)), "invalid");
    }

    #[test]
    fn an_organisation_is_one_workspace_where_that_is_asked_for() {
        assert_eq!(enterprise(payload(ORG_SHORTCUT)), "ent:E0ORG");
        assert_eq!(enterprise(json(SHARED)), "ent:E0GRID");
        assert_eq!(enterprise(form(COMMAND)), "ent:E0001");
        assert_eq!(enterprise(json(MESSAGE)), "team:T061EG9R6");
        assert_eq!(enterprise(payload(ACTIONS)), "team:T9TK3CUKW");
    }

    #[test]
    fn the_urls_verification_is_a_handshake() {
        let challenge = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aB","type":"url_verification"}"#;
        assert_eq!(slack(json(challenge)), "missing handshake");
        assert_eq!(slack(form("token=x&ssl_check=1")), "missing handshake");
        assert_eq!(slack(json(r#"{"type":"event_callback","team_id":"T1"}"#)), "team:T1");
        // Only the outermost type counts.
        assert_eq!(slack(json(r#"{"event":{"type":"url_verification"},"team_id":"T1"}"#)), "team:T1");
        assert_eq!(slack(get("/slack?type=url_verification")), "missing");
    }

    #[test]
    fn a_retry_says_why_in_a_closed_set_of_words() {
        let retry = |reason| json(MESSAGE).header("x-slack-retry-num", "1").header("x-slack-retry-reason", reason);
        assert_eq!(slack(retry("http_timeout")), "team:T061EG9R6 retry=http_timeout");
        assert_eq!(slack(retry("connection_failed")), "team:T061EG9R6 retry=connection_failed");
        assert_eq!(slack(retry("because \"I\" say so")), "team:T061EG9R6 retry=other");
        assert_eq!(slack(json(MESSAGE).header("x-slack-retry-num", "1")), "team:T061EG9R6 retry=other");
        assert_eq!(slack(json(MESSAGE).header("x-slack-retry-reason", "http_error")), "team:T061EG9R6");
    }
}
