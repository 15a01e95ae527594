//! Whether two answers say the same, but for what differs from request to request.

use serde_json::Value;

use super::Got;

/// Members of answers that are of one request alone.
const OF_ONE_REQUEST: [&str; 3] = ["request_id", "timestamp_utc", "latency_ms"];
/// Members of answers that jobs move meanwhile: each server may have another number of entries.
const OF_THE_MOMENT: [&str; 1] = ["journal_position"];

/// Asserts that two answers to the same request say the same, but for its id and times.
pub(crate) fn assert_same(got: &Got, within: &Got, what: &str) {
    assert_eq!(
        got.status,
        within.status,
        "{what}: {} {}",
        got.json(),
        within.json()
    );
    assert_eq!(lasting(got.json()), lasting(within.json()), "{what}");
    for name in ["retry-after", "idempotent-replay"] {
        assert_eq!(
            got.header(name).is_some(),
            within.header(name).is_some(),
            "{what}: {name}"
        );
    }
}

/// Asserts that two answers are alike wherever two others to the same requests are.
pub(crate) fn assert_alike(of: [&Value; 3], what: &str) {
    let [first, second, other] = of;
    let kind = |value: &Value| std::mem::discriminant(value);
    match (first, second, other) {
        (Value::Object(first), Value::Object(second), Value::Object(other)) => {
            let names =
                |of: &serde_json::Map<String, Value>| of.keys().cloned().collect::<Vec<_>>();
            let same = names(first) == names(second);
            assert!(!same || names(first) == names(other), "{what}: {other:?}");
            let lasting = |(name, _): &(&String, &Value)| !OF_THE_MOMENT.contains(&name.as_str());
            for (name, value) in first.iter().filter(lasting) {
                if let (Some(second), Some(other)) = (second.get(name), other.get(name)) {
                    assert_alike([value, second, other], &format!("{what}.{name}"));
                }
            }
        }
        (Value::Array(first), Value::Array(second), Value::Array(other))
            if first.len() == second.len() =>
        {
            assert_eq!(first.len(), other.len(), "{what}");
            // Lists are in the order of ids, which are chance.
            let [first, second, other] = [first, second, other].map(|items| {
                let mut items: Vec<&Value> = items.iter().collect();
                items.sort_by_cached_key(|item| without_ids(item));
                items
            });
            for (number, first) in first.into_iter().enumerate() {
                let what = format!("{what}[{number}]");
                assert_alike([first, second[number], other[number]], &what);
            }
        }
        _ if first == second => assert_eq!(first, other, "{what}"),
        _ => assert_eq!(kind(first), kind(other), "{what}: {first} {other}"),
    }
}

/// The names in an item, and its values that are words.
fn without_ids(item: &Value) -> String {
    let Value::Object(members) = item else {
        return String::new();
    };
    let short = |value: &Value| {
        let text = value.to_string();
        let is_word = text.len() < 14 && !text.contains(|c: char| c.is_ascii_digit());
        is_word.then_some(text)
    };
    let members = members.iter().map(|(name, value)| (name, short(value)));
    format!("{:?}", members.collect::<Vec<_>>())
}

/// An answer without what is of one request alone.
pub(crate) fn lasting(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|name, _| !OF_ONE_REQUEST.contains(&name.as_str()));
            members
                .values_mut()
                .for_each(|member| *member = lasting(member.take()));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = lasting(item.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}
