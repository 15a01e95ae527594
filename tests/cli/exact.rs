//! Inline content comes back byte for byte, whatever JSON it is.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::ops::AppState;

/// A JSON text of all that the grammar allows (RFC 8259), white space and what no parser keeps included.
fn json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][-+]?[0-9]{1,4})?";
    let string =
        "\"([ !#-\\[\\]-~é😀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud[89abAB][0-9a-f]{2})*\"";
    let space = "[ \n\r\t]{0,3}";
    let leaf = prop_oneof![
        number.prop_map(String::from),
        string.prop_map(String::from),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let part = (space, inner.clone(), space).prop_map(|(a, b, c)| format!("{a}{b}{c}"));
        let member = (space, string, space, part.clone())
            .prop_map(|(a, name, b, part)| format!("{a}{name}{b}:{part}"));
        prop_oneof![
            prop::collection::vec(part, 0..5).prop_map(|parts| format!("[{}]", parts.join(","))),
            prop::collection::vec(member, 0..5)
                .prop_map(|parts| format!("{{{}}}", parts.join(","))),
        ]
    })
}

/// The text of `data.content`, by hand: what is held against the client's own reading uses none of it.
fn content(answer: &str) -> &str {
    let from = answer.find("\"content\":").expect("there is content") + "\"content\":".len();
    let (mut depth, mut in_string, mut escaped) = (0_i32, false, false);
    for (at, byte) in answer[from..].bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b',' | b'}' if depth == 0 => return answer[from..from + at].trim_end(),
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    panic!("no end: {answer}")
}

fn comes_back(app: &AppState, payload: &str) {
    let put = format!(
        r#"{{"orgcode":"DEMO","container":"demo","content_type":"application/json","payload":{payload}}}"#
    );
    let answer = app.server.post_bytes("/mrs/record", put.as_bytes());
    let id = answer.data()["record_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let query = [
        ("orgcode", "DEMO"),
        ("container", "demo"),
        ("record_id", id.as_str()),
    ];
    let got = app.server.get("/mrs/record", &query);
    let got = String::from_utf8(got.bytes).expect("text");
    assert_eq!(content(&got), payload, "by HTTP");
    let place = format!("--container demo --record-id {id}");
    let got = app.run(&format!("g3n mrs get {place}"), &[]);
    assert_eq!((got.code, got.text().as_str()), (0, payload), "{got:?}");
    let got = app.run(
        &format!("g3n mrs get {place} --out file --output json"),
        &[],
    );
    assert_eq!(got.code, 0, "{payload}: {got:?}");
    assert_eq!(content(&got.text()), payload, "in an envelope");
    let file = std::fs::read(app.dir().join("file")).expect("written");
    assert_eq!(String::from_utf8_lossy(&file), payload);
}

#[test]
fn content_that_few_parsers_take_comes_back_as_it_was_put() {
    let app = AppState::open(&[]);
    let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    for payload in [
        "null",
        r#""\ud800""#,
        r#"{"\udc00":"\ud800x"}"#,
        "1e400",
        "-0.0",
        "[1E-999,123456789012345678901234567890]",
        r#"{"a":1,"a":{"a":2,"a":3}}"#,
        r#""\u0000\u0041""#,
        "{ \"a\" :\t[ 1 ,\n2 ] }",
        &deep,
    ] {
        comes_back(&app, payload);
        let show = "--record-id file --container demo --inline-payload-file -";
        app.run_with(&format!("g3n mrs put {show}"), &[], payload.as_bytes())
            .data();
        for line in [
            "g3n mrs get --container demo --record-id file",
            "g3n mrs list --output table",
            "g3n mrs versions --container demo --record-id file",
            "g3n mrs history --container demo --record-id file",
            "g3n mrs get --container demo --record-id file --out other --output table",
            "g3n journal show --data-dir data --record DEMO/demo/file",
            "g3n journal export --data-dir data --format jsonl",
        ] {
            let ran = app.run(line, &[]);
            assert_eq!(ran.code, 0, "{payload}: {line}: {ran:?}");
        }
        let got = app.run("g3n mrs get --container demo --record-id file", &[]);
        assert_eq!(got.text(), payload);
    }
}

#[test]
fn whatever_json_http_stores_the_client_reads() {
    let app = AppState::open(&[]);
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    let run = TestRunner::new(config).run(&json(), |payload| {
        comes_back(&app, &payload);
        Ok(())
    });
    run.expect("every text comes back");
}
