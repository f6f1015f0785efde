//! Platforms whose webhooks are about business, not about messages in a workspace.

use super::entry::{PLAIN, Preset, secs};

pub(super) static TWILIO: Preset = Preset {
    name: "twilio",
    about: "Twilio voice and messaging; by account",
    sources: &["acct:form:AccountSid", "acct:query:AccountSid"],
    deadline: secs(15),
    ..PLAIN
};

/// Only a Connect event names an account. The platform's own events are one workspace.
pub(super) static STRIPE: Preset = Preset {
    name: "stripe",
    about: "Stripe, with Connect; by connected account, else `platform`",
    sources: &["acct:json:/account", "acct:const:platform"],
    ..PLAIN
};

pub(super) static SHOPIFY: Preset =
    Preset { name: "shopify", about: "Shopify apps; by shop", sources: &["shop:header:X-Shopify-Shop-Domain"], deadline: secs(5), ..PLAIN };

#[cfg(test)]
mod tests {
    use crate::identify::example::{form, get, json, post, preset};

    #[test]
    fn twilio_posts_a_form_or_gets_a_query() {
        let twilio = preset("twilio");
        let sms = "ToCountry=US&SmsMessageSid=SM1&AccountSid=AC5ef872f6da5a21de157d80997a64bd33&From=%2B14017122661&Body=AccountSid%3Dx";
        assert_eq!(form(sms).to(&twilio), "acct:AC5ef872f6da5a21de157d80997a64bd33");
        assert_eq!(get("/voice?CallSid=CA1&AccountSid=AC5ef&From=%2B1").to(&twilio), "acct:AC5ef");
        assert_eq!(get("/voice").to(&twilio), "missing");
    }

    #[test]
    fn a_stripe_event_without_an_account_is_the_platforms() {
        let stripe = preset("stripe");
        let event = r#"{"id":"evt_1","object":"event","api_version":"2024-06-20","type":"payment_intent.succeeded","livemode":true"#;
        assert_eq!(json(format!(r#"{event},"account":"acct_1032D82eZvKYlo2C"}}"#)).to(&stripe), "acct:acct_1032D82eZvKYlo2C");
        assert_eq!(json(format!("{event}}}")).to(&stripe), "acct:platform");
        assert_eq!(json(format!(r#"{event},"account":null}}"#)).to(&stripe), "acct:platform");
    }

    #[test]
    fn what_stripe_did_not_say_in_a_body_we_read_is_not_the_platforms() {
        let stripe = preset("stripe");
        assert_eq!(json(r#"{"account":"acct_1"#).to(&stripe), "invalid");
        assert_eq!(json(r#"{"account":{"id":"acct_1"}}"#).to(&stripe), "invalid");
        assert_eq!(json(r#"{"account":"acct_1"}"#).bodiless_to(&stripe), "missing");
        assert_eq!(json("").to(&stripe), "missing");
        assert_eq!(get("/stripe").to(&stripe), "missing");
        assert_eq!(form("account=acct_1").to(&stripe), "missing");
    }

    #[test]
    fn shopify_needs_no_body() {
        let request = post("application/json", "not json").header("x-shopify-shop-domain", "example.myshopify.com");
        let shopify = preset("shopify");
        assert!(!shopify.wants_body(request.head()));
        assert_eq!(request.to(&shopify), "shop:example.myshopify.com");
    }
}
