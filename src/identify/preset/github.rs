//! GitHub Apps. Do not use `X-GitHub-Hook-Installation-Target-ID`: it is the App's own id, the same for all tenants.

use super::entry::{MIB, PLAIN, Preset, secs};
use super::mark::Mark;

const HANDSHAKES: &[Mark] = &[Mark::Header("x-github-event", "ping")];

/// GitHub sends up to 25 MB.
const BODY_CAP: usize = 26 * MIB;

/// Users and organisations share one range of ids, so all of these are one namespace.
pub(super) static APP: Preset = Preset {
    name: "github_app",
    about: "GitHub Apps; by account (organisation or user)",
    sources: &[
        "acct:json:/organization/id",
        "acct:json:/repository/owner/id",
        "acct:json:/installation/account/id",
        "acct:json:/marketplace_purchase/account/id",
        "acct:json:/sponsorship/sponsorable/id",
        // The App's content type may be a form.
        "acct:form_json:payload#/organization/id",
        "acct:form_json:payload#/repository/owner/id",
        "acct:form_json:payload#/installation/account/id",
        "acct:form_json:payload#/marketplace_purchase/account/id",
        "acct:form_json:payload#/sponsorship/sponsorable/id",
    ],
    deadline: secs(10),
    body_cap: BODY_CAP,
    handshakes: HANDSHAKES,
    ..PLAIN
};

/// An account may have several installations of one App over time. A webhook that belongs to no installation has no id here.
pub(super) static APP_INSTALLATION: Preset = Preset {
    name: "github_app_installation",
    about: "GitHub Apps; by installation",
    sources: &["inst:json:/installation/id", "inst:form_json:payload#/installation/id"],
    deadline: secs(10),
    body_cap: BODY_CAP,
    handshakes: HANDSHAKES,
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use crate::identify::example::{Request, json, payload, preset};

    fn github(request: Request) -> String {
        request.to(&preset("github_app"))
    }

    const PUSH: &str = r#"{"ref":"refs/heads/main","repository":{"id":186853002,"node_id":"MDEw","name":"Hello-World","owner":
        {"name":"Codertocat","login":"Codertocat","id":21031067,"type":"User"},"private":false},"pusher":{"name":"Codertocat"},
        "sender":{"login":"somebody","id":1},"installation":{"id":5,"node_id":"MDIz"},"commits":[]}"#;

    const INSTALLATION: &str = r#"{"action":"created","installation":{"id":2,"account":{"login":"octocat","id":583231,"type":"User"},
        "app_id":5725},"repositories":[{"id":1296269}],"sender":{"id":1}}"#;

    #[test]
    fn an_account_is_the_same_by_whatever_it_is_called() {
        assert_eq!(github(json(PUSH)), "acct:21031067");
        assert_eq!(github(json(INSTALLATION)), "acct:583231");
        let in_an_organisation = r#"{"action":"opened","repository":{"owner":{"login":"github","id":340}},"organization":{"id":340}}"#;
        assert_eq!(github(json(in_an_organisation)), "acct:340");
        let purchase = r#"{"action":"purchased","marketplace_purchase":{"account":{"type":"Organization","id":18404719,"login":"x"}}}"#;
        assert_eq!(github(json(purchase)), "acct:18404719");
        let sponsorship = r#"{"action":"created","sponsorship":{"sponsorable":{"login":"octocat","id":5},"sponsor":{"id":6}}}"#;
        assert_eq!(github(json(sponsorship)), "acct:5");
        assert_eq!(github(payload(PUSH)), "acct:21031067");
        assert_eq!(github(json(r#"{"action":"revoked","sender":{"id":1}}"#)), "missing");
    }

    #[test]
    fn the_installation_is_the_tenant_where_that_is_asked_for() {
        assert_eq!(json(PUSH).to(&preset("github_app_installation")), "inst:5");
        assert_eq!(json(INSTALLATION).to(&preset("github_app_installation")), "inst:2");
    }

    #[test]
    fn a_ping_is_a_handshake_and_the_apps_own_id_is_no_workspace() {
        let ping = json(r#"{"zen":"Keep it logically awesome.","hook_id":30,"hook":{"type":"App","id":30}}"#)
            .header("x-github-event", "ping")
            .header("x-github-hook-installation-target-id", "79929171");
        assert_eq!(github(ping), "missing handshake");
        assert_eq!(github(json(PUSH).header("x-github-event", "push")), "acct:21031067");
    }
}
