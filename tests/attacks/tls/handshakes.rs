//! What comes instead of a handshake, and answers that are not read within TLS.

use super::*;

#[test]
fn what_is_no_handshake_is_refused_and_holds_nothing_up() {
    let secured = Secured::start(&["http.head_seconds=1"]);
    let url = &secured.server.base_url;
    let answer = Wire::connect(url).exchange(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("requires TLS"), "{answer}");
    let long = [
        b"POST /mrs/record HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n",
        &[b'x'; 60_000][..],
    ]
    .concat();
    let answer = Wire::connect(url).exchange(&long);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    for garbage in [
        &b"\0\0\0\0"[..],
        &[22; 1_000],
        &[0x80, 0x2e, 1, 3, 1],
        &[BEGINNING, &[0xff; 512]].concat(),
        &[22, 3, 1, 0xff, 0xff],
        &[21, 3, 3, 0, 2, 2, 40],
    ] {
        let mut wire = Wire::connect(url).0;
        wire.write_all(garbage).expect("sent");
        let socket = wire.try_clone().expect("the same");
        assert!(is_closed(&mut wire, &socket), "{garbage:?}");
    }
    // Silence, half of a handshake, and half of one drop by drop are ended in the time of a head.
    for beginning in [&b""[..], BEGINNING] {
        let mut wire = Wire::connect(url).0;
        wire.write_all(beginning).expect("sent");
        let socket = wire.try_clone().expect("the same");
        assert!(is_closed(&mut wire, &socket), "{beginning:?}");
    }
    assert_eq!(Wire::connect(url).trickle(BEGINNING, b"\0"), "");
    // Gone in the middle.
    for _ in 0..50 {
        Wire::connect(url).0.write_all(BEGINNING).expect("sent");
    }
    assert_eq!(
        secured.server.get_url(&format!("{url}/health"), &[]).status,
        200
    );
    assert_eq!(secured.handshakes("gateway", "plain"), 2);
    assert!(secured.handshakes("gateway", "late") >= 3);
    assert!(secured.handshakes("gateway", "failed") >= 4);
    eventually("nothing is left of them", || {
        secured
            .metric(CONNECTIONS)
            .is_some_and(|open| open == "0" || open == "1")
    });
}

#[test]
fn unfinished_handshakes_count_as_connections_of_their_address_and_give_way() {
    let secured = Secured::start(&["http.connections_address_max=2", "http.head_seconds=600"]);
    let url = &secured.server.base_url;
    let mut silent: Vec<TcpStream> = Vec::new();
    for open in ["1", "2"] {
        let mut wire = Wire::connect(url).0;
        wire.write_all(BEGINNING).expect("sent");
        silent.push(wire);
        eventually("it is there", || {
            secured.metric(CONNECTIONS).as_deref() == Some(open)
        });
    }
    assert_eq!(
        secured.server.get_url(&format!("{url}/health"), &[]).status,
        200
    );
    let socket = silent[0].try_clone().expect("the same");
    assert!(is_closed(&mut silent[0], &socket));
}

#[test]
fn an_address_has_so_many_handshakes_a_second_and_another_has_its_own() {
    let secured = Secured::start(&[
        "limits.handshakes_per_second=1",
        "limits.handshakes_burst=2",
    ]);
    let health = format!("{}/health", secured.server.base_url);
    let from = |address: &str| {
        secured
            .curl(&["--interface", address, &health])
            .status
            .success()
    };
    let passed = (0..5).filter(|_| from("127.0.0.1")).count();
    assert!((2..5).contains(&passed), "{passed}");
    assert!(from("127.0.0.2"));
    assert!(secured.handshakes("gateway", "limited") >= 1);
}

#[test]
fn an_answer_that_is_not_taken_ends_its_connection_within_tls_too() {
    let secured = Secured::start(&[
        "http.write_seconds=1",
        "limits.address_burst=1000000",
        "limits.address_per_second=1000000",
    ]);
    let mut stream = secured.connect();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // More answers than sockets and TLS hold, of which none is taken.
    let mut ended = false;
    for _ in 0..2_000 {
        stream
            .sock
            .set_write_timeout(Some(Duration::from_secs(60)))
            .expect("set");
        if stream
            .write_all(request)
            .and_then(|()| stream.flush())
            .is_err()
        {
            ended = true;
            break;
        }
    }
    let socket = stream.sock.try_clone().expect("the same");
    assert!(ended || is_closed(&mut stream, &socket));
    eventually("it is not there any more", || {
        secured.metric(CONNECTIONS).is_some_and(|open| open == "0")
    });
}

#[test]
fn answers_that_are_not_taken_within_tls_count_as_a_whole() {
    let secured = Secured::start(&[
        "http.unread_bytes_max=1048576",
        "limits.address_burst=1000000",
        "limits.address_per_second=1000000",
    ]);
    let mut streams: Vec<_> = (0..12).map(|_| secured.connect()).collect();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
    for stream in &mut streams {
        stream
            .write_all(&request)
            .and_then(|()| stream.flush())
            .expect("sent");
    }
    // 40 answers of some 400 KB each, for each of them: most of it waits in the server.
    eventually("there is only room for some", || {
        let open = secured.metric(CONNECTIONS).expect("counted");
        open.parse::<u32>().expect("a number") < 12
    });
}
