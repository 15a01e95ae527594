//! One hash of all spellings of a request, to tell whether it is the one that came before.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// SHA-256 in hex of a JSON value's canonical form: members sorted by name, no white space, strings decoded; numbers
/// as they are spelled, because two spellings are two contents.
///
/// # Errors
/// When it is not JSON.
pub(super) fn fingerprint(parts: &[(&str, &str)]) -> Result<String, serde_json::Error> {
    let mut hash = Sha256::new();
    for (name, json) in parts {
        hash_text(&mut hash, b'n', name);
        hash_json(&mut hash, serde_json::from_str(json)?)?;
    }
    Ok(hex::encode(hash.finalize()))
}

fn hash_json(hash: &mut Sha256, json: &RawValue) -> Result<(), serde_json::Error> {
    let text = json.get().trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            hash.update(b"{");
            for (name, value) in members {
                hash_text(hash, b'n', &name);
                hash_json(hash, value)?;
            }
            hash.update(b"}");
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            hash.update(b"[");
            for item in items {
                hash_json(hash, item)?;
            }
            hash.update(b"]");
        }
        Some(b'"') => hash_text(hash, b's', &serde_json::from_str::<String>(text)?),
        _ => hash_text(hash, b'v', text),
    }
    Ok(())
}

fn hash_text(hash: &mut Sha256, kind: u8, text: &str) {
    hash.update([kind]);
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_sees_meaning_and_not_spelling_except_of_numbers() {
        let of = |json: &str| fingerprint(&[("payload", json)]).expect("is JSON");
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
    }
}
