//! Tests of the rules of users.

use super::super::{Context, Decider, EventMeta};
use super::*;

fn given(commands: &[(i64, UserCommand)]) -> Result<User, ErrorTag> {
    let mut state = User {
        user_id: "ann".to_owned(),
        ..User::default()
    };
    for (minute, command) in commands {
        let context = Context {
            now: Timestamp::from_millis(minute * 60_000),
            by: "ann".to_owned(),
        };
        let events = UserDecider::decide(&state, command, &context);
        for event in events.map_err(|rejection| rejection.tag)? {
            let occurrence = EventMeta {
                at: context.now,
                by: "ann",
                actor: None,
                position: 1,
                version: state.version + 1,
            };
            state = UserDecider::evolve(state, &event, occurrence);
        }
    }
    Ok(state)
}

fn create(verified: bool) -> UserCommand {
    UserCommand::Create {
        user_id: "ann".to_owned(),
        email: "ann@example.com".to_owned(),
        passcode_hash: "h".to_owned(),
        verified,
    }
}

fn open(hash: &str) -> UserCommand {
    UserCommand::OpenSession {
        user_id: "ann".to_owned(),
        session_hash: hash.to_owned(),
        label: None,
        address_hash: None,
    }
}

fn refresh(hash: &str) -> UserCommand {
    UserCommand::RefreshSession {
        user_id: "ann".to_owned(),
        session_hash: hash.to_owned(),
    }
}

#[test]
fn sessions_open_slide_end_and_are_bounded() {
    let hashes = |commands: &[(i64, UserCommand)]| {
        let user = given(commands).unwrap();
        user.sessions.into_keys().collect::<Vec<_>>()
    };
    let start = (0, create(true));
    assert_eq!(
        hashes(&[start.clone(), (0, open("a")), (59, open("b"))]),
        ["a", "b"]
    );
    // The next one opened clears away what is past its end, unless it was used.
    assert_eq!(
        hashes(&[start.clone(), (0, open("a")), (60, open("b"))]),
        ["b"]
    );
    let used = [
        start.clone(),
        (0, open("a")),
        (30, refresh("a")),
        (60, open("b")),
    ];
    assert_eq!(hashes(&used), ["a", "b"]);
    let all = UserCommand::CloseSessions {
        user_id: "ann".to_owned(),
    };
    let none: [&str; 0] = [];
    assert_eq!(
        hashes(&[start.clone(), (0, open("a")), (1, all), (2, refresh("a"))]),
        none
    );
    let mut many = vec![start];
    many.extend((0..70).map(|number| (0, open(&format!("{number:02}")))));
    let left = hashes(&many);
    assert_eq!(left.len(), SESSIONS_MAX);
    assert!(left.contains(&"69".to_owned()));
}

#[test]
fn there_is_one_user_an_address_and_only_verified_ones_sign_in() {
    assert_eq!(
        given(&[(0, create(true)), (0, create(true))]),
        Err(ErrorTag::Conflict)
    );
    assert_eq!(
        given(&[(0, create(false)), (0, open("a"))]),
        Err(ErrorTag::UserNotVerified)
    );
    assert_eq!(given(&[(0, open("a"))]), Err(ErrorTag::NotFound));
}

#[test]
fn addresses_and_passcodes_are_looked_at() {
    assert_eq!(email(" Ann@Example.COM ").unwrap(), "ann@example.com");
    for bad in ["", "ann", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a@\u{7}"] {
        assert!(email(bad).is_err(), "{bad}");
    }
    let check = |passcode: &str| check_passcode(passcode, "ann@example.com").is_ok();
    assert!(check("correct horse"));
    for bad in ["short", "aaaaaaaaaaaaaaaa", "Ann@example.com"] {
        assert!(!check(bad), "{bad}");
    }
    assert!(!check(&"ab".repeat(65)));
    assert!(label("label", Some(&"x".repeat(81))).is_err());
    assert_eq!(label("label", Some("  ")).unwrap(), None);
}
