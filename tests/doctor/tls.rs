//! TLS: certificates that can be served, end, or cannot be served, and plain HTTP where others can listen.

use std::path::Path;

use super::AppState;
use crate::support::certificates::{Authority, Pair};

fn set(name: &str, path: &Path) -> String {
    format!("--set http.{name}={} ", path.display())
}

fn both(pair: &Pair) -> String {
    set("tls_cert_file", &pair.cert) + &set("tls_key_file", &pair.key)
}

#[test]
fn a_certificate_is_told_of_by_how_long_it_lasts() {
    let app = AppState::empty();
    let authority = Authority::new(app.path(), "authority");
    let told = app.ask("");
    told.expect("tls", "ok", "not needed", "");
    let good = authority.server("good", 90);
    let told = app.ask(&both(&good));
    told.expect("tls", "ok", "gateway: ", "");
    told.expect("tls", "ok", "good.crt, 89 days left; operators: ", "");
    let line = both(&good) + &set("operator_client_ca_file", &authority.ca);
    app.ask(&line)
        .expect("tls", "ok", "client certificates needed", "");
    let line = both(&good) + "--operator-listen unix:sock";
    let told = app.ask(&line);
    assert!(!told.text("tls", "found").contains("operators"), "{told:?}");
    let told = app.ask(&both(&authority.server("soon", 5)));
    told.expect_alone("tls", "warn", "4 days left", "replace the certificate");
    let told = app.ask(&both(&authority.server("ended", -1)));
    told.expect_alone("tls", "fail", "ended at", "replace the certificate");
}

#[test]
fn files_and_settings_that_a_start_would_refuse_fail() {
    let app = AppState::empty();
    let authority = Authority::new(app.path(), "authority");
    let good = authority.server("good", 90);
    let open = authority.server("open", 90);
    super::set_mode(&open.key, 0o640);
    for (line, found, fix) in [
        (
            set("tls_cert_file", &good.cert),
            "http.tls_key_file is not",
            "g3n config server",
        ),
        (both(&open), "can be read by others", "correct the file"),
        (
            set("tls_cert_file", &good.cert) + &set("tls_key_file", &open.cert),
            "open.crt",
            "correct the file",
        ),
    ] {
        app.ask(&line).expect_alone("tls", "fail", found, fix);
    }
}

#[test]
fn plain_http_beyond_this_machine_is_warned_of() {
    let app = AppState::empty();
    let authority = Authority::new(app.path(), "authority");
    let good = authority.server("good", 90);
    for line in ["--listen 0.0.0.0:0", "--operator-listen [::]:0"] {
        let line = format!("--set http.public_url=http://records.example {line}");
        let told = app.ask(&line);
        told.expect_alone("tls", "warn", "plain HTTP", "http.tls_cert_file");
        let line = both(&good) + &line;
        app.ask(&line).expect("tls", "ok", "good.crt", "");
    }
}
