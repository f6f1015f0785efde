//! The API's document describes every field of every answer, and no others.

use serde_json::Value;

use crate::harness::{Ask, Config, Serin, eventually, two_upstreams};

/// Appends to `found` the fields of `value` that the schema does not describe, and the described ones that `value` lacks.
fn differences(schema: &Value, document: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return differences(&document["components"]["schemas"][reference.rsplit('/').next().unwrap()], document, value, at, found);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        if !value.is_null() {
            differences(&any[0], document, value, at, found);
        }
        return;
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, field) in fields {
            match properties.get(name) {
                Some(property) => differences(property, document, field, &format!("{at}.{name}"), found),
                None => found.push(format!("{at}.{name} is not described")),
            }
        }
        for name in schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
            found.push(format!("{at}.{name} is described and not there"));
        }
        return;
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        return list.iter().for_each(|item| differences(items, document, item, &format!("{at}[]"), found));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(text) if schema["enum"].as_array().is_some_and(|words| words.contains(&Value::from(text.as_str()))) => return,
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let described = schema["type"].as_str().unwrap_or("one of a few words");
    if described != kind && !(described == "number" && kind == "integer") {
        found.push(format!("{at} is {kind}, described as {described}"));
    }
}

#[test]
fn every_answer_has_the_fields_that_the_document_describes() {
    let (blue, green) = two_upstreams();
    let rollout = "rollout = { steps = [\"50%\", \"100%\"], bake = \"1h\" }";
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(rollout).bot("release = { upstream = \"blue\" }"));
    let ask = |method: &'static str, path: &str, body: &str| serin.admin(Ask::new(method, path).json(body));
    let document = ask("GET", "/openapi.json", "").json();
    let mut found = Vec::new();
    let mut look = |schema: &str, value: &Value| {
        let schema = &document["components"]["schemas"][schema];
        assert!(schema.is_object());
        differences(schema, &document, value, "", &mut found);
    };
    let does = |action: &str, body: &str| ask("POST", &format!("/v1/bots/support/{action}"), body).json();
    look("Bot", &serin.bot());
    look("Bot", &does("rollouts", "{\"version\": \"v2\"}"));
    (0..50).for_each(|number| assert_eq!(serin.ask(&Ask::of(&format!("T{number}"))).status, 200));
    let judged = eventually("evidence that was judged", || Some(serin.bot()).filter(|bot| bot["evidence"]["components"].is_object()));
    assert!(judged["rollout"].is_object());
    look("Bot", &judged);
    look("Bot", &does("abort", "{}"));
    look("Bot", &does("switch", "{}"));
    look("Bots", &ask("GET", "/v1/bots", "").json());
    look("Traffic", &ask("GET", "/v1/bots/support/traffic", "").json());
    look("History", &ask("GET", "/v1/bots/support/history", "").json());
    look("Explained", &serin.explain("T1"));
    look("Drilled", &does("drill", "{}"));
    look("Counted", &does("outcomes", "{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": true}]}"));
    look("NotificationTests", &ask("POST", "/v1/notifications/test", "{}").json());
    look("Problem", &does("undo", "{\"forc\": true}"));
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_path_that_the_document_describes_exists() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address));
    let document = serin.admin(Ask::new("GET", "/openapi.json")).json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post"].into_iter().filter(|method| operations[*method].is_object() && path != "/v1/events") {
            let verb = match method {
                "get" => "GET",
                "put" => "PUT",
                _ => "POST",
            };
            let answer = serin.admin(Ask::new(verb, &path.replace("{bot}", "nobody")).json("{}"));
            let code = if answer.status == 404 { answer.json()["code"].as_str().unwrap_or("").to_owned() } else { String::new() };
            assert!(answer.status != 405 && code != "not_found", "{method} {path}: {answer:?}");
        }
    }
}
