//! Headers of downloads, tried with whatever callers may send.

use actix_web::http::header::HeaderValue;
use actix_web::test::TestRequest;

use super::part::Part;
use super::*;

#[test]
fn fuzz_ranges() {
    let seeds = [
        "bytes=0-0",
        "bytes=5-",
        "bytes=-7",
        "bytes=0-0,2-3,9-",
        "bytes=18446744073709551615-18446744073709551616",
        "items=1-2",
        "W/\"a\", \"d41d8cd98f00b204e9800998ecf8427e\"",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ]
    .map(|text| text.as_bytes().to_vec());
    let many = format!("bytes={}", "0-0,".repeat(8_000)).into_bytes();
    crate::fuzz::each("ranges", &[&seeds[..], &[many]].concat(), |text| {
        let Ok(value) = HeaderValue::from_bytes(text) else {
            return;
        };
        for name in [
            header::RANGE,
            header::IF_RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
        ] {
            let request = TestRequest::default()
                .insert_header((header::RANGE, "bytes=2-"))
                .insert_header((name, value.clone()))
                .to_http_request();
            for size in [1, 10, u64::MAX] {
                match Part::of(&request, "d41d8cd98f00b204e9800998ecf8427e", size) {
                    Ok(Part::Range(from, to)) => {
                        assert!(from <= to && to < size, "{from} {to} {size}")
                    }
                    Ok(Part::NotModified | Part::Whole | Part::Unsatisfiable) => {}
                    Err(rejection) => assert!([400, 412].contains(&rejection.status())),
                }
            }
        }
    });
}
