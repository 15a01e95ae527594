//! Tests of the rules of service accounts and their keys.

use super::*;

fn given(actions: &[AccountAction]) -> Result<Account, ErrorTag> {
    let mut state = Account::default();
    for (second, action) in (0..).zip(actions) {
        let at = Timestamp::from_millis(second * 1_000);
        let command = AccountCommand {
            name: AccountName {
                org: OrgCode::parse("one").unwrap(),
                account_id: "a".to_owned(),
            },
            action: action.clone(),
        };
        let context = Context {
            now: at,
            by: "ann".to_owned(),
        };
        let events = AccountDecider::decide(&state, &command, &context);
        for event in events.map_err(|rejection| rejection.tag)? {
            let occurrence = EventMeta {
                at,
                by: "ann",
                actor: None,
                position: 1,
                version: state.version + 1,
            };
            state = AccountDecider::evolve(state, &event, occurrence);
        }
    }
    Ok(state)
}

fn key(id: &str) -> AccountAction {
    AccountAction::CreateKey {
        key_id: id.to_owned(),
        key_hash: format!("hash of {id}"),
        role: KeyRole::Reader,
        label: None,
        expires_at: None,
        allowed_addresses: Vec::new(),
    }
}

fn revoke(id: &str) -> AccountAction {
    AccountAction::RevokeKey {
        key_id: id.to_owned(),
    }
}

#[test]
fn a_key_counts_until_it_is_revoked_and_while_its_account_is_active() {
    let create = || AccountAction::Create { label: None };
    let set = |active| AccountAction::SetStatus { active };
    let live = |actions: &[AccountAction]| {
        let actions: Vec<_> = std::iter::once(create()).chain(actions.to_vec()).collect();
        let ids = |account: Account| account.live_keys().map(|(id, _)| id.clone()).collect();
        given(&actions).map(ids)
    };
    let some = |ids: &[&str]| Ok(ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    assert_eq!(live(&[key("a"), key("b")]), some(&["a", "b"]));
    assert_eq!(
        live(&[key("a"), key("b"), revoke("a"), revoke("a")]),
        some(&["b"])
    );
    assert_eq!(
        live(&[key("a"), AccountAction::RevokeKeys, key("c")]),
        some(&["c"])
    );
    assert_eq!(live(&[key("a"), set(false)]), some(&[]));
    assert_eq!(live(&[key("a"), set(false), set(true)]), some(&["a"]));
    assert_eq!(live(&[set(false), key("a")]), Err(ErrorTag::InvalidState));
    assert_eq!(live(&[revoke("a")]), Err(ErrorTag::NotFound));
    assert_eq!(given(&[key("a")]), Err(ErrorTag::NotFound));
    assert_eq!(given(&[create(), create()]), Err(ErrorTag::Conflict));
}

#[test]
fn a_key_with_an_end_counts_until_then_and_its_use_is_noted_once_an_hour() {
    let at = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
    let mut account = given(&[AccountAction::Create { label: None }, key("a")]).unwrap();
    let soon = account.keys.get_mut("a").unwrap();
    soon.expires_at = Some(at(90));
    assert!(soon.counts(at(89)) && !soon.counts(at(90)));
    let note = AccountCommand {
        name: AccountName {
            org: OrgCode::parse("one").unwrap(),
            account_id: "a".to_owned(),
        },
        action: AccountAction::NoteUse {
            key_id: "a".to_owned(),
        },
    };
    let mut noted = Vec::new();
    for minute in [1, 2, 60, 61, 62, 121] {
        let context = Context {
            now: at(minute),
            by: "job".to_owned(),
        };
        for event in AccountDecider::decide(&account, &note, &context).unwrap() {
            let occurrence = EventMeta {
                at: at(minute),
                by: "job",
                actor: None,
                position: 1,
                version: account.version + 1,
            };
            account = AccountDecider::evolve(account, &event, occurrence);
            noted.push(minute);
        }
    }
    assert_eq!(noted, [1, 61], "at 121 it is over");
    let past = AccountCommand {
        action: AccountAction::CreateKey {
            key_id: "b".to_owned(),
            key_hash: "h".to_owned(),
            role: KeyRole::Reader,
            label: None,
            expires_at: Some(at(5)),
            allowed_addresses: Vec::new(),
        },
        ..note
    };
    let context = Context {
        now: at(5),
        by: "ann".to_owned(),
    };
    let refused = AccountDecider::decide(&account, &past, &context).unwrap_err();
    assert_eq!(refused.minor.as_deref(), Some("expires_at"));
}

#[test]
fn an_account_keeps_a_bounded_number_of_keys() {
    let mut actions = vec![AccountAction::Create { label: None }];
    actions.extend((0..KEYS_MAX).map(|number| key(&format!("{number:02}"))));
    actions.push(key("more"));
    assert_eq!(given(&actions), Err(ErrorTag::InvalidState));
    let at = actions.len() - 1;
    actions.insert(at, revoke("05"));
    let account = given(&actions).unwrap();
    assert_eq!(account.keys.len(), KEYS_MAX);
    assert!(account.keys.contains_key("more") && !account.keys.contains_key("05"));
}
