//! HTML, written so that no text becomes a tag: whatever is not the name of a tag or an attribute is escaped.

use super::assets;

/// A page as it is written.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Begins an element with its attributes.
    pub(super) fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.write(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Ends the element that was begun last.
    pub(super) fn close(&mut self, tag: &'static str) {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push_str(">\n");
    }

    /// An element with nothing but a text.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &str)],
        text: &str,
    ) {
        self.open(tag, attributes);
        self.write(text);
        self.close(tag);
    }

    /// An element that has no end.
    pub(super) fn empty(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.open(tag, attributes);
        self.0.push('\n');
    }

    /// A text, also one of somebody else's.
    pub(super) fn write(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
    }

    /// A text in which parts between backticks are code.
    pub(super) fn prose(&mut self, text: &str) {
        for (number, part) in text.split('`').enumerate() {
            if number % 2 == 0 {
                self.write(part);
            } else {
                self.open("code", &[]);
                self.write(part);
                self.0.push_str("</code>");
            }
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// The beginning of a page, up to the end of its head; `root` leads from the page to the root.
pub(super) fn head(title: &str, root: &str, styles: &[&assets::File]) -> Html {
    let mut html = Html("<!DOCTYPE html>\n".to_owned());
    html.open("html", &[("lang", "en")]);
    html.open("head", &[]);
    html.empty("meta", &[("charset", "utf-8")]);
    let viewport = [
        ("name", "viewport"),
        ("content", "width=device-width, initial-scale=1"),
    ];
    html.empty("meta", &viewport);
    html.element("title", &[], title);
    // None, so that no browser asks for one.
    html.empty("link", &[("rel", "icon"), ("href", "data:,")]);
    for style in styles {
        let url = format!("{root}{}", style.url());
        html.empty("link", &[("rel", "stylesheet"), ("href", &url)]);
    }
    html.close("head");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_tag_or_an_attribute() {
        let hostile = "\"><script>alert('1')</script>&";
        let mut html = Html::default();
        html.element("p", &[("title", hostile)], hostile);
        html.prose(&format!("`{hostile}` {hostile}"));
        let page = String::from_utf8(html.into_bytes()).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches('"').count(), 2, "{page}");
    }
}
