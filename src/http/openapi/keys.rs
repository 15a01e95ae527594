//! What the OpenAPI document says of idempotency keys: the header where it is honoured, and why where it is not.

use serde_json::{Value, json};

use crate::http::idempotency::KeyRule;

/// Says what a route does with an idempotency key.
pub(super) fn describe(rule: KeyRule, operation: &mut Value) {
    let text = match rule {
        KeyRule::Kept => {
            let header = json!({"$ref": "#/components/headers/Idempotent-Replay"});
            for status in ["200", "409"] {
                operation["responses"][status]["headers"]["Idempotent-Replay"] = header.clone();
            }
            let parameter = json!({
                "name": "Idempotency-Key",
                "in": "header",
                "required": false,
                "schema": {"type": "string", "minLength": 1},
                "description": "The field `idempotency_key` said in another place (draft-ietf-httpapi-idempotency-key-header-07): 1 to 128 printable ASCII characters, in double quotes or without. Both and different are `invalid-idempotency-key`.",
            });
            match operation["parameters"].as_array_mut() {
                Some(parameters) => parameters.push(parameter),
                None => operation["parameters"] = json!([parameter]),
            }
            return;
        }
        KeyRule::UNSUPPORTED => "Refuses `Idempotency-Key`.".to_owned(),
        KeyRule::Refused(why) => {
            format!("Refuses `Idempotency-Key`: {why}")
        }
        KeyRule::Ignored => return,
    };
    let told = operation["description"].as_str().unwrap_or_default();
    operation["description"] = format!("{told}\n\n{text}").trim().into();
}
