//! What makes two requests one, what does not, and what finding out may cost.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// The fingerprint before it was made in one walk: answers that are remembered contain such ones.
pub(in crate::http) fn earlier(parts: &[(&str, &str)]) -> Result<String, serde_json::Error> {
    let mut hash = Sha256::new();
    for (name, json) in parts {
        hash_text(&mut hash, b'n', name.as_bytes());
        hash_earlier(&mut hash, serde_json::from_str(json)?)?;
    }
    Ok(hex::encode(hash.finalize()))
}

fn hash_earlier(hash: &mut Sha256, json: &RawValue) -> Result<(), serde_json::Error> {
    let text = json.get().trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            hash.update(b"{");
            for (name, value) in members {
                hash_text(hash, b'n', name.as_bytes());
                hash_earlier(hash, value)?;
            }
            hash.update(b"}");
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            hash.update(b"[");
            for item in items {
                hash_earlier(hash, item)?;
            }
            hash.update(b"]");
        }
        Some(b'"') => hash_text(hash, b's', serde_json::from_str::<String>(text)?.as_bytes()),
        _ => hash_text(hash, b'v', text.as_bytes()),
    }
    Ok(())
}

fn of(json: &str) -> String {
    fingerprint(&[("payload", json)]).expect(json)
}

#[test]
fn the_fingerprint_sees_meaning_and_not_spelling_except_of_numbers() {
    assert_eq!(
        of(r#"{"a":1,"b":[true,"x"]}"#),
        of(r#" { "b" : [ true, "\u0078" ], "a":1 } "#)
    );
    assert_ne!(of("1"), of("1.0"));
    assert_ne!(
        of("10000000000000000000000001"),
        of("10000000000000000000000002")
    );
    assert_ne!(of(r#"["a","b"]"#), of(r#"["ab"]"#));
    assert_ne!(of(r#"{"a":null}"#), of("{}"));
    assert_eq!(
        of(r#"{"b":{"\n":[]}, "a":0}"#),
        of(r#"{"a":0,"b":{"\u000A":[ ]}}"#)
    );
}

#[test]
fn every_member_of_one_name_counts_and_so_does_their_order() {
    let same_name = [
        r#"{"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":2,"a":1}"#,
        r#"{"a":2,"a":2}"#,
        r#"[{"b":{"a":2}}]"#,
        r#"[{"b":{"a":1,"a":2}}]"#,
    ];
    for (index, one) in same_name.iter().enumerate() {
        for other in &same_name[index + 1..] {
            assert_ne!(of(one), of(other), "{one} {other}");
        }
    }
    assert_eq!(
        of(r#"{"a":1,"a":2,"b":3}"#),
        of(r#"{"b":3,"\u0061":1,"a":2}"#)
    );
}

#[test]
fn half_a_surrogate_pair_has_a_fingerprint_of_its_own() {
    assert_eq!(of(r#""\ud800""#), of(r#""\uD800""#));
    assert_ne!(of(r#""\ud800""#), of(r#""\ud801""#));
    assert_ne!(of(r#""\ud800""#), of(r#""\ufffd""#));
    assert_ne!(of(r#""\ud83d \ude00""#), of(r#""\ud83d\ude00""#));
    assert_eq!(of(r#""\ud83d\ude00""#), of("\"\u{1f600}\""));
    assert_eq!(of(r#"{"\udc00":1,"a":2}"#), of(r#"{"a":2,"\uDC00":1}"#));
}

#[test]
fn what_is_no_json_has_no_fingerprint() {
    for json in [
        "",
        " ",
        "{",
        "}",
        "[1",
        "[1}",
        "{\"a\"}",
        "\"a",
        "[1 2]",
        "{\"a\":1]",
        "1 2",
    ] {
        assert_eq!(fingerprint(&[("payload", json)]), Err(NotJson), "{json}");
    }
}

/// Generous: each byte is read a few times, names once more for each comparison.
fn steps_allowed(bytes: usize) -> u64 {
    bytes as u64 * (16 + 4 * u64::from(bytes.ilog2()))
}

#[test]
fn a_fingerprint_takes_near_linear_work_however_the_body_is_built() {
    const BYTES: usize = 1_048_576;
    let nested = |open: &str, close: &str, within: &str| {
        let levels = (BYTES - within.len()) / (open.len() + close.len());
        format!("{}{within}{}", open.repeat(levels), close.repeat(levels))
    };
    let items = |item: &str| {
        let many = vec![item; (BYTES - 2) / (item.len() + 1)];
        format!("[{}]", many.join(","))
    };
    let names = |prefix: &str, count: usize| {
        let members: Vec<_> = (0..count)
            .map(|number| format!("\"{prefix}{}\":0", number * 7_919 % count))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    let long = "x".repeat(1_000);
    let escaped = "\\u0078".repeat(100);
    for (what, json) in [
        ("arrays", nested("[", "]", "")),
        ("objects", nested("{\"a\":", "}", "1")),
        (
            "6,000 levels around many",
            format!("{}{}{}", "[".repeat(6_000), items("[1]"), "]".repeat(6_000)),
        ),
        ("many objects", items("{}")),
        ("many members", names("", 90_000)),
        ("long names", names(&long, 1_000)),
        ("escaped names", names(&escaped, 1_600)),
        (
            "one name",
            format!("{{{}}}", vec!["\"\":0"; 200_000].join(",")),
        ),
        ("backslashes", format!("\"{}\"", "\\\\".repeat(500_000))),
        ("space", " ".repeat(BYTES) + "1"),
        (
            "space in arrays",
            format!("[{}]", vec![" 1 "; 250_000].join(",")),
        ),
    ] {
        let (_, steps) = digest(&[("body", &json)]).expect(what);
        let allowed = steps_allowed(json.len());
        assert!(steps <= allowed, "{what}: {steps} of {allowed}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?(e[+-]?[0-9])?",
        "[a-z\\n\"\\\\é😀]{0,5}".prop_map(|text| serde_json::json!(text).to_string()),
        Just(r#""\u0061\u00e9\ud83d\ude00\/""#.to_owned()),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let name = prop_oneof!["[a-c]{0,2}", "\\\\u006[1-3]"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[ {}]", items.join(" ,"))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\" : {value}"))
                    .collect();
                format!("{{{}\n}}", members.join(","))
            }),
        ]
    })
}

/// Whether two members of one object have the same name.
fn has_twins(json: &str) -> bool {
    let index = Index::of(json.as_bytes()).expect("it is JSON");
    index.objects.iter().any(|object| {
        let members = &index.members[object.first as usize..object.end as usize];
        members
            .windows(2)
            .any(|two| index.compare(two[0], two[1]) == Ordering::Equal)
    })
}

proptest! {
    #[test]
    fn answers_that_were_remembered_earlier_are_found_by_the_same_fingerprint(json in json()) {
        let parts = [("body", json.as_str()), ("cccode", "null")];
        let same = Some(fingerprint(&parts).expect("it is JSON")) == earlier(&parts).ok();
        prop_assert!(same != has_twins(&json), "{}", json);
    }
}

#[test]
fn fuzz_fingerprints() {
    crate::fuzz::each("bodies", &[], |body| {
        let Ok(body) = std::str::from_utf8(body) else {
            return;
        };
        let made = digest(&[("body", body)]);
        if serde_json::from_str::<&RawValue>(body).is_err()
            || !crate::http::nesting::is_within(body.as_bytes(), 128)
        {
            return;
        }
        let (hash, steps) = made.expect("JSON has a fingerprint");
        assert!(steps <= steps_allowed(body.len() + 2), "{steps}");
        if let Ok(earlier) = earlier(&[("body", body)]) {
            assert_eq!(hash == earlier, !has_twins(body), "{body}");
        }
    });
}
