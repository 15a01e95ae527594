//! Certificates that change while the server runs, and files that cannot be served.

use super::*;

#[test]
fn a_new_certificate_is_served_without_a_failed_request_and_a_bad_one_is_not() {
    let secured = Secured::start(&["limits.handshakes_per_second=0"]);
    let health = format!("{}/health", secured.server.base_url);
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let kept = Client::trusting(
        &secured.server.base_url,
        Credential::None,
        &secured.trust(None),
    );
    std::thread::scope(|scope| {
        let ask = |fresh: bool| {
            let (secured, kept, stop, asked, failed) = (&secured, &kept, &stop, &asked, &failed);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let reply = match fresh {
                        true => Client::trusting(
                            &secured.server.base_url,
                            Credential::None,
                            &secured.trust(None),
                        )
                        .health(),
                        false => kept.health(),
                    };
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !reply.is_ok_and(|reply| reply.is_success()) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        scope.spawn(ask(true));
        scope.spawn(ask(false));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reload(&secured)));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(asked.load(Ordering::Relaxed) > 20);
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert_eq!(secured.server.get_url(&health, &[]).status, 200);
    let mut server = secured.server;
    assert_eq!(server.end("TERM"), Some(0));
    let told = server.told();
    for outcome in ["read-again", "kept", "ending"] {
        assert!(
            told.contains(&format!("\"outcome\":\"{outcome}\"")),
            "{outcome}: {told}"
        );
    }
    assert!(!told.contains("PRIVATE KEY"));
}

/// Files change to what can be served, to what cannot, and back.
fn reload(secured: &Secured) {
    let refused = |listener: &str| {
        let sample = format!("metarecord_tls_files_refused{{listener=\"{listener}\"}} ");
        secured.metric(&sample)
    };
    let good = |name: &str, days: i64| {
        let pair = secured.authority.server(name, days);
        pair.replace(&secured.pair);
        eventually(name, || secured.served() == name);
        for listener in ["gateway", "operators"] {
            assert_eq!(refused(listener).as_deref(), Some("0"));
        }
    };
    assert_eq!(secured.served(), "served");
    good("second", 60);
    let pair = secured.authority.server("by-signal", 60);
    pair.replace(&secured.pair);
    secured.hang_up();
    eventually("it is served", || secured.served() == "by-signal");
    for (what, cert, key) in [
        ("no PEM", Some("nonsense"), None),
        (
            "a key of another",
            None,
            Some(&secured.authority.server("other", 60).key),
        ),
        ("one that has ended", None, None),
    ] {
        match (cert, key) {
            (Some(text), _) => std::fs::write(&secured.pair.cert, text).expect("written"),
            (None, Some(key)) => {
                std::fs::copy(key, &secured.pair.key).expect("copied");
            }
            (None, None) => secured.authority.server("ended", -2).replace(&secured.pair),
        }
        secured.hang_up();
        eventually(what, || refused("gateway").as_deref() == Some("1"));
        assert_eq!(secured.served(), "by-signal", "{what}");
        let doctor = g3n(
            &format!(
                "doctor --dev --json --data-dir {} --set http.tls_cert_file={} --set http.tls_key_file={}",
                secured.server.dir.display(),
                secured.pair.cert.display(),
                secured.pair.key.display()
            ),
            secured.dir.path(),
            &[],
            b"",
        );
        assert_eq!(doctor.code, 1, "{what}: {doctor:?}");
        assert!(doctor.text().contains("\"tls\""), "{doctor:?}");
        pair.replace(&secured.pair);
        eventually("it is good again", || {
            refused("gateway").as_deref() == Some("0")
        });
    }
    // It ends when a day begins: in five to six days, or a little less when a day has begun since.
    good("soon", 6);
    let left =
        secured.metric("metarecord_tls_certificate_remaining_seconds{listener=\"gateway\"} ");
    let left: f64 = left.expect("measured").parse().expect("a number");
    assert!((4.9..=6.0).contains(&(left / 86_400.0)), "{left}");
}

/// As a mount of secrets does it: the names stay, and the directory that a link names is exchanged.
#[test]
fn files_that_come_back_unchanged_are_no_longer_reported_as_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new(dir.path(), "authority");
    let (good, bad, current) = (
        dir.path().join("good"),
        dir.path().join("bad"),
        dir.path().join("current"),
    );
    let point_to = |target: &Path| {
        let _: std::io::Result<()> = std::fs::remove_file(&current);
        std::os::unix::fs::symlink(target, &current).expect("linked");
    };
    for directory in [&good, &bad] {
        std::fs::create_dir(directory).expect("made");
    }
    let pair = authority.server("served", 90);
    std::fs::rename(&pair.cert, good.join("cert")).expect("moved");
    std::fs::rename(&pair.key, good.join("key")).expect("moved");
    point_to(&good);
    let files = TlsFiles {
        cert: current.join("cert"),
        key: current.join("key"),
        client_ca: None,
        client_crl: None,
    };
    let now = Clock::system().now();
    let tls = Tls::open(files).expect("it can be served");
    assert!(!tls.refresh(now).expect("as it was") && !tls.is_stale());
    point_to(&bad);
    tls.refresh(now).expect_err("there are no files");
    assert!(tls.is_stale());
    point_to(&good);
    assert!(!tls.refresh(now).expect("as it was"), "nothing has changed");
    assert!(!tls.is_stale(), "what is served is what the files hold");
}

#[test]
fn files_that_cannot_be_served_are_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new(dir.path(), "authority");
    let pair = authority.server("served", 90);
    let other = authority.server("other", 90);
    let open = authority.server("open", 90);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&open.key, mode).expect("set");
    std::fs::write(dir.path().join("empty"), "").expect("written");
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.path().join("empty"), own).expect("set");
    let set = |name: &str, path: &Path| format!("--set http.{name}={} ", path.display());
    let both =
        |cert: &Path, key: &Path| [set("tls_cert_file", cert), set("tls_key_file", key)].concat();
    let good = both(&pair.cert, &pair.key);
    let empty = dir.path().join("empty");
    for (line, told) in [
        (set("tls_cert_file", &pair.cert), "http.tls_key_file is not"),
        (
            set("operator_tls_key_file", &pair.key),
            "http.operator_tls_cert_file is not",
        ),
        (
            set("operator_client_ca_file", &authority.ca),
            "http.tls_cert_file is not",
        ),
        (
            good.clone() + &set("operator_client_crl_file", &authority.ca),
            "http.operator_client_ca_file is not",
        ),
        (
            good.clone()
                + &set("operator_client_ca_file", &authority.ca)
                + "--operator-listen unix:sock",
            "Unix socket",
        ),
        (both(&pair.cert, &open.key), "chmod 600"),
        (both(&pair.cert, &other.key), "TLS cannot be served"),
        (both(&pair.cert, &empty), "holds no private key"),
        (both(&empty, &pair.key), "holds no certificate"),
        (both(dir.path(), &pair.key), "is not a file"),
        (
            both(&dir.path().join("nowhere"), &pair.key),
            "cannot be read",
        ),
        (both(&pair.key, &pair.key), "holds no certificate"),
        (
            good.clone() + &set("operator_client_ca_file", &empty),
            "holds no certificate",
        ),
    ] {
        let line = format!("serve --data-dir data --listen 127.0.0.1:0 {line}");
        let line = match line.contains("--operator-listen") {
            true => line,
            false => line + " --operator-listen 127.0.0.1:0",
        };
        let ran = g3n(&line, dir.path(), &[], b"");
        let complaint = ran.stderr.clone();
        assert_eq!(ran.code, 78, "{line}: {complaint}");
        assert!(complaint.contains(told), "{line}: {complaint}");
        assert!(!dir.path().join("data").exists(), "{line}");
    }
}
