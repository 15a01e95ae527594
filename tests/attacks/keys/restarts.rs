//! Rotations that a crash or a kill breaks off.

use super::*;

/// Whoever asks for a rotation dies between the journal's entry and the file: the next start does what is left.
#[test]
fn a_rotation_that_broke_off_behind_the_journal_is_completed_by_the_next_start() {
    for at_once in [false, true] {
        let scratch = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_millis(START_MS));
        let mut server = start(scratch.path(), &clock);
        let before = give(&server, "a");
        let file = fs::read(scratch.path().join(RING)).expect("keys");
        let rotate = json!({"at_once": at_once});
        let rotated = server.operator("ops_signing_key_rotate", &rotate).data();
        server.stop();
        // What the disk had when it ended there.
        fs::write(scratch.path().join(RING), &file).expect("written");
        fs::write(scratch.path().join("keys/signing-keys.new"), "{\"for").expect("written");
        let server = start(scratch.path(), &clock);
        let listed = server.operator("ops_signing_key_list", &json!({})).data();
        assert_eq!(ids(&listed), ids(&rotated));
        let wanted = match at_once {
            false => [200; 4],
            true => [403, 400, 403, 400],
        };
        assert_eq!(used(&server, "a", &before), wanted, "{at_once}");
        assert_eq!(used(&server, "b", &give(&server, "b")), [200; 4]);
        let audit = server.operator("ops_audit", &json!({})).data();
        let rows = audit["items"].as_array().expect("rows").iter();
        let rotations = rows.filter(|row| row["event"] == "signing_key.rotated");
        assert_eq!(rotations.count(), 1);
    }
}

#[test]
fn a_server_killed_while_keys_are_rotated_starts_with_keys_that_work() {
    let scratch = tempfile::tempdir().expect("a directory");
    let sets = ["--set", PUBLIC];
    let (mut last, mut given) = (Vec::new(), None::<Given>);
    for round in 0..6_u64 {
        let mut server = Server::start_in(scratch.path(), &sets);
        let listed = ids(&server.invoke("ops_signing_key_list", &json!({})).data());
        assert!(
            last.iter().all(|id| listed.contains(id)),
            "{last:?} {listed:?}"
        );
        if let Some(given) = given.take() {
            assert_eq!(used(&server, &format!("r{}", round - 1), &given), [200; 4]);
        }
        given = Some(give(&server, &format!("r{round}")));
        let answered = AtomicU64::new(0);
        let mut acknowledged = Vec::new();
        let (url, token) = (server.operator_url.clone(), server.operator_token.clone());
        std::thread::scope(|scope| {
            let rotating = scope.spawn(|| {
                let mut acknowledged = Vec::new();
                loop {
                    let request = agent().post(format!("{url}/invoke/ops_signing_key_rotate"));
                    let request = request.header("authorization", format!("Bearer {token}"));
                    let sent = request.content_type("application/json").send("{}");
                    let Ok(mut response) = sent else { break };
                    let Ok(text) = response.body_mut().read_to_string() else {
                        break;
                    };
                    let Ok(answer) = serde_json::from_str::<Value>(&text) else {
                        break;
                    };
                    if answer["success"] == json!(true) {
                        acknowledged.push(ids(&answer["data"])[0].clone());
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                acknowledged
            });
            while answered.load(Ordering::SeqCst) <= round % 3 {
                assert!(!rotating.is_finished(), "the server is gone");
                std::thread::yield_now();
            }
            server.end("KILL");
            acknowledged = rotating.join().expect("it ended");
        });
        last = acknowledged;
    }
    let mut server = Server::start_in(scratch.path(), &sets);
    let listed = ids(&server.invoke("ops_signing_key_list", &json!({})).data());
    assert_eq!(listed, on_disk(scratch.path()));
    assert!(last.iter().all(|id| listed.contains(id)));
    assert_eq!(server.end("TERM"), Some(0));
}
