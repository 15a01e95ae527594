//! `docs/logs.md` has the schema that the program has.

use metarecord::report::schema;

/// Between these lines of the page.
const MARKS: (&str, &str) = ("<!-- schema -->\n", "<!-- end of schema -->\n");

#[test]
fn the_page_has_every_event_and_field_as_the_program_has_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/logs.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let (begin, end) = MARKS;
    let (head, rest) = page.split_once(begin).expect("a beginning");
    let (found, tail) = rest.split_once(end).expect("an end");
    let made = schema::page();
    if std::env::var_os("METARECORD_RENEW").is_some() {
        let page = [head, begin, &made, end, tail].concat();
        std::fs::write(path, page).expect("it can be written");
        return;
    }
    assert!(
        found == made,
        "docs/logs.md is not what the program has; METARECORD_RENEW=1 cargo test --test suite logs::page renews it"
    );
}
