//! Each command of the driver, on a small page: what journeys through pages are made of.

use serde_json::json;

use super::driver::{Browser, Window};
use super::policy::serve;

const PAGE: &str = r#"<!DOCTYPE html><title>Small</title><link rel=icon href=data:,>
<h1 id=head>Heading</h1><a href="/#second">Second</a><input id=text value=old aria-label=Words><input id=file type=file>
<button id=late hidden>Late</button><p id=told></p>
<script>
  const told = document.getElementById("told"), late = document.getElementById("late");
  document.getElementById("text").addEventListener("input", (event) => {
    told.textContent = event.target.value;
    setTimeout(() => { late.hidden = false; }, 50);
  });
  late.addEventListener("click", () => { told.textContent = "clicked"; late.remove(); });
  document.cookie = "small=1";
</script>"#;

#[test]
fn a_browser_types_clicks_and_waits() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let origin = serve("default-src 'self' 'unsafe-inline'; img-src data:", PAGE);
    browser.open(&format!("{origin}/"));
    assert_eq!(browser.title(), "Small");
    assert_eq!(
        browser.find("#head").spoken(),
        ("heading".to_owned(), "Heading".to_owned())
    );
    let input = browser.find("#text");
    assert_eq!(input.attribute("value").as_deref(), Some("old"));
    assert_eq!(input.attribute("absent"), None);
    let late = browser.find("#late");
    input.replace_text("new");
    assert_eq!(input.property("value"), json!("new"));
    assert_eq!(browser.find_with("#told", "new").text(), "new");
    // It is shown only later, and is gone then.
    late.click();
    browser.gone("#late");
    assert_eq!(browser.find("#told").text(), "clicked");
    let file = tempfile::NamedTempFile::new().expect("a file");
    browser
        .find("#file")
        .type_text(&file.path().display().to_string());
    let named = browser.script("return document.getElementById('file').files.length", &[]);
    assert_eq!(named, json!(1));
    let promised = browser.script("return Promise.resolve(arguments[0] + 1)", &[json!(1)]);
    assert_eq!(promised, json!(2));
    browser.assert_quiet(&origin);
}

#[test]
fn a_browser_moves_through_history_tabs_and_widths() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let origin = serve("default-src 'self' 'unsafe-inline'; img-src data:", PAGE);
    browser.open(&format!("{origin}/"));
    browser.find("a").click();
    assert_eq!(browser.url(), format!("{origin}/#second"));
    browser.back();
    assert_eq!(browser.url(), format!("{origin}/"));
    browser.find("#text").type_text("er");
    browser.reload();
    assert_eq!(browser.find("#text").property("value"), json!("old"));
    let cookies = browser.cookies();
    assert_eq!((cookies.len(), &cookies[0]["name"]), (1, &json!("small")));
    let first = browser.tab();
    let second = browser.new_tab();
    assert_ne!(first, second);
    assert!(browser.all("#head").is_empty());
    browser.to_tab(&first);
    browser.find("#head");
    for (window, wide) in [(Window::Phone, 390), (Window::Desktop, 1_280)] {
        browser.resize(window);
        assert_eq!(browser.script("return innerWidth", &[]), json!(wide));
    }
    browser.devtools(
        "Emulation.setTimezoneOverride",
        &json!({"timezoneId": "Asia/Kathmandu"}),
    );
    let minutes = browser.script("return new Date(0).getTimezoneOffset()", &[]);
    assert_eq!(minutes, json!(-330));
    assert!(browser.screenshot_of_all("commands").exists());
}
