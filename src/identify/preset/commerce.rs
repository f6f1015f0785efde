//! Platforms whose webhooks tell of business, not of messages in a workspace.

use super::{PLAIN, Preset, secs};

pub(super) static TWILIO: Preset = Preset {
    name: "twilio",
    about: "Twilio voice and messaging; by account",
    sources: &["acct:form:AccountSid", "acct:query:AccountSid"],
    deadline: secs(15),
    ..PLAIN
};

/// Only a Connect event names an account; the platform's own events are one workspace.
pub(super) static STRIPE: Preset = Preset {
    name: "stripe",
    about: "Stripe, with Connect; by connected account, else `platform`",
    sources: &["acct:json:/account", "acct:const:platform"],
    ..PLAIN
};

pub(super) static SHOPIFY: Preset =
    Preset { name: "shopify", about: "Shopify apps; by shop", sources: &["shop:header:X-Shopify-Shop-Domain"], deadline: secs(5), ..PLAIN };
