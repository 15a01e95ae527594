//! Tests that public answers and refusals wait for their turn of the thread. No test depends on speed: what owners used of the
//! thread is given, and a request is polled once.

use actix_web::FromRequest as _;
use actix_web::http::Method;
use actix_web::test::TestRequest;
use futures_util::FutureExt as _;

use super::super::auth::principal::Owner;
use super::super::bodies::BodyLimits;
use super::super::cors::Origins;
use super::super::head::HostNames;
use super::super::limits::{Rate, Rates};
use super::super::org_limits::OrgLimits;
use super::super::prefixes::Prefixes;
use super::super::routes;
use super::super::state::ListenerLimits;
use super::*;
use crate::clock::Clock;
use crate::running::Running;

const ALLOWED_ORIGIN: &str = "https://app.example";
/// Far more of a thread than is forgotten within a test, in nanoseconds.
const MUCH_NS: u64 = 1 << 60;

/// A gateway that is not open yet: what it answers then needs no state.
fn gateway() -> Arc<Gateway> {
    let clock = Clock::manual(crate::domain::Timestamp::from_millis(0));
    let unlimited = Rate {
        per_second: 0,
        burst: 1,
    };
    let limits = ListenerLimits {
        requests_in_flight_max: 8,
        bodies: BodyLimits {
            bytes_max: 1 << 10,
            depth_max: 8,
            seconds: 1,
            total_bytes_max: 1 << 20,
        },
        rates: Rates {
            principal: unlimited,
            org: unlimited,
            address: unlimited,
            sign_in: unlimited,
            handshake: unlimited,
            principal_in_flight_max: 0,
            address_in_flight_max: 0,
            org_at_once: OrgLimits {
                in_flight_max: 0,
                uploads_max: 0,
                downloads_max: 0,
            },
        },
        prefixes: Prefixes::new("", ""),
        origins: Origins::new(ALLOWED_ORIGIN),
        host_names: HostNames::new("", "http://127.0.0.1:1"),
    };
    let running = Arc::new(Running::nowhere(clock.clone()));
    Gateway::new(clock, limits, running, routes::names())
}

/// The status of the answer to a request without a credential, when it comes at once; `None` when it waits for a turn.
async fn answered_at_once(request: TestRequest, anonymous_ns: u64) -> Option<u16> {
    let (gateway, turns) = (gateway(), Turns::new());
    turns.charge_anonymous(anonymous_ns);
    turns.charge(Owner::Org("MODEST"), MUCH_NS);
    let (request, mut payload) = request.to_http_parts();
    let payload = Payload::from_request(&request, &mut payload).await.unwrap();
    let turn = Turn::new(&turns);
    let mut measured = gateway.http_meters().begin();
    let serving = serve(&gateway, &request, payload, (&mut measured, &turn));
    let response = serving.now_or_never();
    assert_eq!(turns.waiting(), usize::from(response.is_none()));
    response.map(|response| response.status().as_u16())
}

#[actix_web::test]
async fn public_answers_and_refused_heads_take_turns_with_other_work() {
    let get = |path: &str| TestRequest::get().uri(path);
    let two_orgs = |path: &str| {
        let request = get(path).append_header(("x-orgcode", "A1"));
        request.append_header(("x-orgcode", "B1"))
    };
    let preflight = |origin: &'static str| {
        let request = TestRequest::default().method(Method::OPTIONS);
        let request = request.uri("/mrs/record");
        let request = request.append_header(("origin", origin));
        request.append_header(("access-control-request-method", "POST"))
    };
    let requests: [(&dyn Fn() -> TestRequest, u16); 7] = [
        (&|| get("/openapi.json"), 200),
        (&|| get("/ops/ping"), 200),
        (&|| two_orgs("/mrs/list"), 400),
        (&|| get("/no-such-route"), 404),
        (&|| TestRequest::delete().uri("/health"), 405),
        (&|| preflight(ALLOWED_ORIGIN), 204),
        // A page that is not listed gets the answer of any other request that no route takes.
        (&|| preflight("https://other.example"), 405),
    ];
    for (number, (request, status)) in requests.into_iter().enumerate() {
        // An owner that used no more than its part is served at once, and one that used more waits.
        assert_eq!(
            answered_at_once(request(), 0).await,
            Some(status),
            "{number}"
        );
        assert_eq!(
            answered_at_once(request(), 2 * MUCH_NS).await,
            None,
            "{number}"
        );
    }
    for route in routes::ROUTES.iter().filter(|route| route.always) {
        let status = answered_at_once(get(route.path), 2 * MUCH_NS).await;
        assert!(status.is_some(), "{} waits", route.path);
    }
}
