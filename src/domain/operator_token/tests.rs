//! What operators may do with their tokens, given their history.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn after(
    state: OperatorTokens,
    command: &OperatorTokenCommand,
    seconds: i64,
) -> Result<OperatorTokens, Rejection> {
    let context = Context {
        now: at(seconds),
        by: "operator".to_owned(),
    };
    let events = OperatorTokenDecider::decide(&state, command, &context)?;
    let version = state.version + 1;
    Ok(events.iter().fold(state, |state, event| {
        let occurrence = EventMeta {
            at: at(seconds),
            by: "operator",
            actor: None,
            position: version,
            version,
        };
        OperatorTokenDecider::evolve(state, event, occurrence)
    }))
}

fn create(name: &str, hash: &str, expires: Option<i64>) -> OperatorTokenCommand {
    OperatorTokenCommand::Create {
        name: name.to_owned(),
        token_hash: hash.to_owned(),
        scopes: vec![TokenScope::Metrics],
        expires_at: expires.map(at),
    }
}

fn revoke(name: &str) -> OperatorTokenCommand {
    OperatorTokenCommand::Revoke {
        name: name.to_owned(),
    }
}

fn rotate(name: &str, hash: &str, overlap_ms: i64) -> OperatorTokenCommand {
    OperatorTokenCommand::Rotate {
        name: name.to_owned(),
        token_hash: hash.to_owned(),
        overlap_ms,
    }
}

#[test]
fn a_token_works_until_it_expires_or_is_revoked() {
    let state = after(OperatorTokens::default(), &create("a", "ha", Some(10)), 1).unwrap();
    let state = after(state, &create("b", "hb", None), 2).unwrap();
    assert!(state.find("ha", at(9)).is_some() && state.find("ha", at(10)).is_none());
    assert!(state.find("hb", at(99)).is_some() && state.find("hx", at(3)).is_none());
    let state = after(state, &revoke("b"), 3).unwrap();
    assert!(state.find("hb", at(4)).is_none());
    let again = after(state.clone(), &revoke("b"), 5).unwrap();
    assert_eq!(again, state, "revoked twice is revoked once");
    assert!(after(state.clone(), &revoke("c"), 5).is_err());
    let same = after(state, &create("b", "hn", None), 6).unwrap_err();
    assert_eq!(same.tag, ErrorTag::Conflict);
}

#[test]
fn a_rotated_token_works_beside_its_successor_for_the_overlap_alone() {
    let state = after(OperatorTokens::default(), &create("a", "one", None), 1).unwrap();
    let state = after(state, &rotate("a", "two", 5_000), 10).unwrap();
    assert!(state.find("one", at(14)).is_some() && state.find("one", at(15)).is_none());
    assert!(state.find("two", at(20)).is_some());
    let state = after(state, &rotate("a", "three", 0), 20).unwrap();
    assert!(state.find("two", at(20)).is_none() && state.find("three", at(20)).is_some());
    let state = after(state, &revoke("a"), 21).unwrap();
    assert!(after(state, &rotate("a", "four", 0), 22).is_err());
}

#[test]
fn the_one_that_ended_first_is_forgotten_for_one_more_and_none_that_works() {
    let mut state = OperatorTokens::default();
    for number in 0..TOKENS_MAX {
        let command = create(&format!("t{number}"), &format!("h{number}"), None);
        state = after(state, &command, 1).unwrap();
    }
    assert!(after(state.clone(), &create("more", "hm", None), 2).is_err());
    state = after(state, &revoke("t7"), 3).unwrap();
    state = after(state, &revoke("t3"), 4).unwrap();
    state = after(state, &create("more", "hm", None), 5).unwrap();
    assert!(!state.tokens.contains_key("t7") && state.tokens.contains_key("t3"));
    assert_eq!(state.tokens.len(), TOKENS_MAX);
}

#[test]
fn all_lets_do_everything_and_every_other_scope_only_what_it_names() {
    let token = |scopes: &[TokenScope]| OperatorToken {
        token_hash: "secret".to_owned(),
        previous: Vec::new(),
        scopes: scopes.to_vec(),
        created_at: at(1),
        expires_at: None,
        revoked_at: None,
    };
    for scope in TokenScope::ALL {
        assert!(token(&[TokenScope::All]).may(scope));
        assert_eq!(
            token(&[TokenScope::Read]).may(scope),
            scope == TokenScope::Read
        );
        assert_eq!(TokenScope::parse(scope.as_str()), Some(scope));
    }
    assert!(!format!("{:?}", token(&[TokenScope::All])).contains("secret"));
}
