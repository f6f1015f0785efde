//! `GET /openapi.json`: the API's description (OpenAPI 3.1). `tests/it/openapi.rs` checks it against real answers, and a client that is
//! generated from it runs against real bots in the end-to-end tests.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::summary::Action;

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "serin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What serves, and how to change it. Errors are problem documents (RFC 9457) whose `code` is for scripts.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{}, { "token": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "parameters": {
                "bot": { "name": "bot", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } },
                "ifMatch": {
                    "name": "If-Match", "in": "header", "description": "The revision that the change is based on; else 412.",
                    "schema": { "type": "string", "pattern": "^(\"[0-9]{1,18}\"|\\*)$" },
                },
                "requestId": {
                    "name": "X-Request-Id", "in": "header", "schema": { "type": "string" },
                    "description": "1 to 128 visible ASCII characters, which the answer and the log repeat; else serin makes an id.",
                },
                "dryRun": {
                    "name": "dry_run", "in": "query", "description": "Do nothing, and say what it would do or why it would be refused.",
                    "schema": { "type": "boolean", "default": false },
                },
            },
            "headers": {
                "requestId": { "description": "The request's id, as in the log.", "schema": { "type": "string" } },
            },
            "responses": {
                "Problem": {
                    "description": "What is wrong, and what to do.",
                    "headers": request_id(),
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
            "schemas": schemas(),
        },
    })
}

fn paths() -> Value {
    let mut paths = Map::new();
    let mut add = |path: &str, method: &str, operation: Value| {
        let parameters = json!([{ "$ref": "#/components/parameters/requestId" }]);
        let entry = paths.entry(path).or_insert_with(|| json!({ "parameters": parameters }));
        entry[method] = operation;
    };
    add("/v1/bots", "get", read("listBots", "All bots", &[], "Bots"));
    add("/v1/bots/{bot}", "get", read("showBot", "One bot", &[bot()], "Bot"));
    let limit = query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 50 }), false);
    let before = query("before", json!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64 }), false);
    add("/v1/bots/{bot}/history", "get", read("history", "What happened, the newest first", &[bot(), limit, before], "History"));
    let workspace = query("workspace", json!({ "type": "string" }), true);
    add("/v1/bots/{bot}/explain", "get", read("explain", "Where a workspace goes, and why", &[bot(), workspace], "Explained"));
    add("/v1/bots/{bot}/weight", "put", change("setWeight", "The canary's share of the buckets, by hand", "Weight", true));
    for (path, id, summary, body) in [
        ("rollouts", "start", "Begins to roll out a release", "Start"),
        ("advance", "advance", "The next step now", "Manner"),
        ("pause", "pause", "Stays at its weight", "Manner"),
        ("resume", "resume", "Goes on after a pause", "Manner"),
        ("promote", "promote", "Everyone now; the canary becomes stable", "Manner"),
        ("abort", "abort", "Nobody now; the release is quarantined", "Manner"),
        ("undo", "undo", "Back to who was stable before", "Manner"),
        ("switch", "switch", "Everyone on the other side at once", "Side"),
        ("adopt", "adopt", "Says what is live already", "Side"),
        ("freeze", "freeze", "Raises nothing until it is thawed", "Manner"),
        ("thaw", "thaw", "Ends a freeze", "Manner"),
    ] {
        add(&format!("/v1/bots/{{bot}}/{path}"), "post", change(id, summary, body, false));
    }
    let mut drill = with_preview(operation("drill", "A rehearsal of the way back", "Drill", false, "Drilled"), "Drilled");
    drill["parameters"] = json!([bot(), dry_run()]);
    add("/v1/bots/{bot}/drill", "post", drill);
    add("/v1/whoami", "get", read("whoami", "As whom the request is taken, and what that allows", &[], "Whoami"));
    add("/v1/bots/{bot}/outcomes", "post", operation("report", "What a bot knows later about its workspaces", "Outcomes", true, "Counted"));
    add("/v1/bots/{bot}/traffic", "get", read("traffic", "The last hour in points, and whom a weight reaches", &[bot()], "Traffic"));
    let mut test = operation("testNotifications", "Sends a test message", "NotificationTest", false, "NotificationTests");
    test["parameters"] = json!([]);
    add("/v1/notifications/test", "post", test);
    let of = query("bot", json!({ "type": "string" }), false);
    let status = query("status", json!({ "type": "boolean", "default": false }), false);
    let events = "Each change as it is made; with `status`, each bot as it is, once a second if anything about it is new, and who has left";
    add("/v1/events", "get", text("events", events, &[of, status], "text/event-stream"));
    add("/metrics", "get", text("metrics", "For Prometheus", &[], "text/plain"));
    add("/livez", "get", text("livez", "It runs", &[], "text/plain"));
    add("/readyz", "get", text("readyz", "It serves (200) or drains (503)", &[], "text/plain"));
    add(
        "/openapi.json",
        "get",
        json!({
            "operationId": "openapi", "summary": "This document", "responses": answers("application/json", &json!({ "type": "object" })),
        }),
    );
    Value::Object(paths)
}

fn bot() -> Value {
    json!({ "$ref": "#/components/parameters/bot" })
}

fn query(name: &str, schema: Value, required: bool) -> Value {
    json!({ "name": name, "in": "query", "required": required, "schema": schema })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn answers(kind: &str, schema: &Value) -> Value {
    let problem = || json!({ "$ref": "#/components/responses/Problem" });
    let done = json!({ "description": "Done.", "headers": request_id(), "content": { kind: { "schema": schema } } });
    let mut answers = json!({ "200": done, "default": problem() });
    for status in ["400", "401", "403", "404", "408", "409", "412", "413", "415", "421", "422", "429", "503"] {
        answers[status] = problem();
    }
    answers
}

/// The header that every answer has.
fn request_id() -> Value {
    json!({ "X-Request-Id": { "$ref": "#/components/headers/requestId" } })
}

fn read(id: &str, summary: &str, parameters: &[Value], answer: &str) -> Value {
    json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": answers("application/json", &reference(answer)) })
}

fn text(id: &str, summary: &str, parameters: &[Value], kind: &str) -> Value {
    json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": answers(kind, &json!({ "type": "string" })) })
}

/// An operation that changes a bot and answers with its document once every worker serves the change.
fn change(id: &str, summary: &str, body: &str, required: bool) -> Value {
    let mut changed = with_preview(operation(id, summary, body, required, "Bot"), "Bot");
    changed["parameters"] = json!([bot(), { "$ref": "#/components/parameters/ifMatch" }, dry_run()]);
    changed
}

fn dry_run() -> Value {
    json!({ "$ref": "#/components/parameters/dryRun" })
}

/// With `dry_run` the operation answers with a preview.
fn with_preview(mut operation: Value, answer: &str) -> Value {
    operation["responses"]["200"]["content"]["application/json"]["schema"] = json!({ "anyOf": [reference(answer), reference("Preview")] });
    operation
}

fn operation(id: &str, summary: &str, body: &str, required: bool, answer: &str) -> Value {
    json!({
        "operationId": id, "summary": summary, "parameters": [bot()],
        "requestBody": { "required": required, "content": { "application/json": { "schema": reference(body) } } },
        "responses": answers("application/json", &reference(answer)),
    })
}

/// An object with exactly these fields; a name that ends in `?` is optional.
fn object(fields: Value) -> Value {
    let Value::Object(fields) = fields else { return json!({ "type": "object" }) };
    let required: Vec<&str> = fields.keys().map(String::as_str).filter(|name| !name.ends_with('?')).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

fn nullable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn list(schema: Value) -> Value {
    json!({ "type": "array", "items": schema })
}

fn actions() -> Vec<&'static str> {
    Action::ALL.map(Action::name).into()
}

fn schemas() -> Value {
    let (string, number, whole, truth) = (
        json!({ "type": "string" }),
        json!({ "type": "number" }),
        json!({ "type": "integer", "minimum": 0 }),
        json!({ "type": "boolean" }),
    );
    let (text, maybe, count) = (nullable(string.clone()), nullable(number.clone()), nullable(whole.clone()));
    let (perhaps, failing) = (nullable(truth.clone()), json!({ "enum": ["errors", "late", "rejected"] }));
    let label =
        || nullable(json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[^\\s\\u0000-\\u001f\\u007f-\\u009f]+$" }));
    let reason = || nullable(json!({ "type": "string", "maxLength": 256, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" }));
    let percent = json!({ "type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01 });
    let upstream = object(json!({ "upstream": string, "version": text, "url": string }));
    let side = object(json!({ "upstream": string, "version": text }));
    let totals = object(json!({
        "requests": whole, "errors": whole, "late": whole, "rejected": whole, "active_buckets": whole, "typical_ms": maybe,
    }));
    let examination = object(json!({ "bucket": whole, "suspected_for": string, "finding": string, "blocks": whole, "e_value": number }));
    let examinations = object(json!({ "open": whole, "refuted": whole, "went_away": whole, "buckets": list(examination) }));
    let answered = object(json!({
        "requests": whole, "errors": whole, "late": whole, "rejected": whole, "p50_ms": maybe, "p99_ms": maybe,
    }));
    let share = nullable(object(json!({ "weight_percent": percent, "active_buckets": whole, "requests_percent": number })));
    let components = object(json!({ "all": number, "cohorts": number, "urn": number, "newly_broken": number, "examinations": number }));
    json!({
        "Problem": object(json!({ "type": string, "title": string, "status": whole, "detail": string, "code": string })),
        "Bots": object(json!({ "bots": list(reference("Bot")) })),
        "Bot": object(json!({
            "bot": string, "revision": whole,
            "phase": { "enum": ["idle", "manual", "progressing", "paused", "held", "promoted", "aborted"] },
            "weight_percent": percent, "actual_percent": number, "max_percent": percent,
            "stable": upstream.clone(), "canary": nullable(upstream.clone()), "upstreams": list(upstream),
            "step": count,
            "rollout": nullable(object(json!({
                "attempt": whole, "policy": { "enum": ["automatic", "guarded", "manual"] }, "steps_percent": list(percent.clone()),
                "step": whole, "bake_seconds": whole, "in_step_seconds": count, "next_percent": maybe,
                "started_at": maybe, "ended_at": maybe,
            }))),
            "hold_reason": text, "hold_text": text, "warning": text,
            "summary": object(json!({
                "urgency": { "enum": ["act", "watch", "none"] }, "text": string, "state": string, "customers": string, "next": string,
                "todo": string, "action": nullable(json!({ "enum": actions() })),
            })),
            "actions": list(object(json!({ "name": { "enum": actions() }, "allowed": truth, "refusal": text }))),
            "until": nullable(object(json!({
                "bakes_until": number, "decides_by": maybe, "then": { "enum": ["goes_on", "asks", "waits"] }, "needs_requests": count,
                "needs_on": nullable(json!({ "enum": ["stable", "canary"] })), "expected_at": maybe,
            }))),
            "since": nullable(object(json!({
                "at": number, "decision": string, "actor_kind": string, "by": text, "reason": text, "from_percent": percent,
                "to_percent": percent,
            }))),
            "counted_since": number,
            "tolerated": object(json!({
                "added_errors_percent": maybe, "errors_percent": maybe, "late_percent": maybe, "p50_ms": maybe, "p90_ms": maybe, "p99_ms": maybe,
            })),
            "frozen_by": nullable(object(json!({ "at": maybe, "by": string, "reason": text }))),
            "waits_for_human": nullable(object(json!({ "reason": string, "text": string }))),
            "evidence": object(json!({
                "e_value": maybe, "verdict": nullable(json!({ "enum": ["pass", "inconclusive", "marginal", "fail"] })), "text": text,
                "abort_at": number, "leading": text, "components": nullable(components), "harm_could_be_percent": maybe,
                "examinations": examinations,
            })),
            "concentration": nullable(object(json!({
                "metric": failing, "bucket": whole, "of": whole, "in_bucket": whole, "fails_on_stable": perhaps, "over": truth,
                "text": string, "workspace": text,
            }))),
            "tracks": object(json!({ "stable": totals, "canary": totals })),
            "quarantine": list(object(json!({ "upstream": string, "version": text, "why": string, "at": maybe, "from_percent": maybe }))),
            "durable": truth, "history_error": text, "frozen": text,
            "desired": nullable(object(json!({ "upstream": string, "version": text, "effective": truth, "held_by": text, "waits": text }))),
            "previous": nullable(object(json!({ "upstream": string, "version": text, "idle_seconds": whole, "free": truth }))),
            "drilled_at": maybe,
        })),
        "Change": object(json!({
            "bot": string, "revision": whole, "at": { "type": "string", "format": "date-time" }, "actor_kind": string, "actor": string,
            "decision": string, "phase": string, "from_percent": percent, "to_percent": percent, "stable": string, "canary": text,
            "release": text, "why": text, "reason": text, "text": string, "evidence": nullable(json!({ "type": "object" })), "abort_at": maybe,
        })),
        "History": object(json!({ "changes": list(reference("Change")), "before": count })),
        "Explained": object(json!({
            "bot": string, "workspace": string, "bucket": whole, "rank": string, "attempt": whole, "canary_from_percent": number, "weight_percent": percent,
            "track": { "enum": ["stable", "canary"] }, "reason": string, "upstream": string,
        })),
        "Traffic": object(json!({
            "bot": string, "slot_seconds": whole,
            "points": list(object(json!({
                "at": whole, "seconds": number, "weight_percent": percent, "e_value": maybe, "stable": answered, "canary": answered,
            }))),
            "reach": object(json!({ "active_buckets": whole, "now": share, "next": share })),
            "largest": list(object(json!({
                "bucket": whole, "track": { "enum": ["stable", "canary"] }, "requests_percent": number, "requests": whole,
                "errors": whole, "late": whole, "rejected": whole, "workspace": text,
            }))),
            "failing": list(object(json!({
                "bucket": whole, "track": { "enum": ["stable", "canary"] }, "requests_percent": number, "requests": whole,
                "errors": whole, "late": whole, "rejected": whole, "fails_on_stable": perhaps, "text": string, "workspace": text,
            }))),
        })),
        "Preview": object(json!({
            "dry_run": { "const": true }, "bot": string, "action": { "enum": actions() }, "revision": whole, "decision": string,
            "lines": list(string.clone()), "from_percent": percent, "to_percent": percent, "phase": string, "stable": side.clone(),
            "canary": nullable(side), "moves": nullable(object(json!({ "active_buckets": whole, "requests_percent": number }))),
            "quarantines": text,
        })),
        "Whoami": object(json!({
            "name": text, "scope": { "enum": ["read", "operate"] }, "bots": nullable(list(string.clone())), "read_only": truth,
            "show_workspaces": truth, "version": string,
        })),
        "Drilled": object(json!({
            "bot": string, "side": string, "preflight_ms": number, "back_ms": number, "durable_ms": maybe, "moved_percent": percent,
            "revision": whole,
        })),
        "NotificationTest": object(json!({ "notifier?": text })),
        "NotificationTests": object(json!({
            "tests": list(object(json!({ "notifier": string, "sent": truth, "outcome": string, "answer": string }))),
        })),
        "Counted": object(json!({ "counted": whole, "pinned": whole })),
        "Manner": object(json!({ "force?": truth, "reason?": reason() })),
        "Weight": object(json!({ "percent": percent, "force?": truth, "reason?": reason() })),
        "Start": object(json!({
            "upstream?": text, "version?": label(), "retry?": truth, "replace?": truth, "force?": truth, "reason?": reason(),
        })),
        "Side": object(json!({ "upstream?": text, "version?": label(), "force?": truth, "reason?": reason() })),
        "Drill": object(json!({
            "upstream?": text, "share_percent?": nullable(percent.clone()),
            "seconds?": nullable(json!({ "type": "integer", "minimum": 1, "maximum": 300 })),
        })),
        "Outcomes": object(json!({
            "outcomes": {
                "type": "array", "maxItems": 1000,
                "items": object(json!({ "workspace": string, "ok": truth, "kind?": { "enum": ["outcome", "engagement"] } })),
            },
        })),
    })
}
