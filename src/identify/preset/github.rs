//! GitHub Apps. Never by `X-GitHub-Hook-Installation-Target-ID`: that is the App's own id, one for all tenants.

use super::{MIB, PLAIN, Preset, secs};
use crate::identify::marks::Mark;

const HANDSHAKES: &[Mark] = &[Mark::Header("x-github-event", "ping")];

/// GitHub sends up to 25 MB.
const BODY_CAP: usize = 26 * MIB;

/// Users and organisations share one space of ids, so all of these are one namespace.
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

/// An account may have several installations of one App over time; what is sent for none has no id here.
pub(super) static APP_INSTALLATION: Preset = Preset {
    name: "github_app_installation",
    about: "GitHub Apps; by installation",
    sources: &["inst:json:/installation/id", "inst:form_json:payload#/installation/id"],
    deadline: secs(10),
    body_cap: BODY_CAP,
    handshakes: HANDSHAKES,
    ..PLAIN
};
