//! Slack: events as JSON, slash commands as a form, interactivity as JSON in a form's field `payload`.

use super::{PLAIN, Preset, secs};
use crate::identify::marks::{Literal, Mark, RetryMark};

const HANDSHAKES: &[Mark] = &[Mark::Json("/type", Literal::Text("url_verification")), Mark::Form("ssl_check", "1")];

const RETRY: Option<RetryMark> = Some(RetryMark::Header {
    mark: "x-slack-retry-num",
    reason: "x-slack-retry-reason",
    reasons: &["http_timeout", "http_error", "connection_failed", "ssl_error", "too_many_redirects", "unknown_error"],
});

/// The order is that of Slack's own framework, Bolt. `team` is null in an organisation's installation, and a string or
/// an object elsewhere.
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

/// Where an Enterprise Grid organisation is one customer: the organisation, and the team of who has none.
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
