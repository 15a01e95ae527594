//! `/docs/reference`: an OpenAPI document as one page, written on the server and readable without scripts, on a phone, on paper
//! and aloud.

mod schema;

use serde_json::{Map, Value};

use self::schema::{fields, kind, rows, type_id};
use super::assets;
use super::html::{Html, head};

/// A document with its page, as far as that is written.
struct Page<'a> {
    document: &'a Value,
    html: Html,
}

/// The page of a whole document.
pub(super) fn page(document: &Value) -> Html {
    let info = &document["info"];
    let html = head(
        &format!("{} reference", text(&info["title"])),
        "../",
        &[&assets::REFERENCE_STYLE],
    );
    let mut page = Page { document, html };
    let html = &mut page.html;
    html.open("body", &[]);
    html.open("header", &[]);
    html.element("h1", &[], &format!("{} reference", text(&info["title"])));
    html.open("p", &[]);
    html.write(&format!("Version {}. ", text(&info["version"])));
    html.element("a", &[("href", "../docs")], "Explorer");
    html.close("p");
    paragraphs(html, &info["description"]);
    html.close("header");
    page.contents();
    let html = &mut page.html;
    html.open("main", &[]);
    for tag in items(&document["tags"]) {
        page.service(tag);
    }
    page.types();
    let html = &mut page.html;
    html.close("main");
    html.close("body");
    html.close("html");
    page.html
}

/// Texts of a document that its paragraphs are separated in by empty lines.
fn paragraphs(html: &mut Html, value: &Value) {
    for paragraph in text(value).split("\n\n").filter(|text| !text.is_empty()) {
        html.open("p", &[]);
        html.prose(paragraph);
        html.close("p");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

impl<'a> Page<'a> {
    /// The operations with a tag: path, method, and what is said of each.
    fn operations(&self, tag: &'a Value) -> Vec<(&'a str, &'a str, &'a Value)> {
        let all = members(&self.document["paths"]).flat_map(|(path, methods)| {
            members(methods)
                .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        });
        all.filter(|(.., operation)| operation["tags"][0] == tag["name"])
            .collect()
    }

    /// What a reference leads to, or the value itself.
    fn resolved(&self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
        pointer
            .and_then(|pointer| self.document.pointer(pointer))
            .unwrap_or(value)
    }

    /// The list of all operations at the top.
    fn contents(&mut self) {
        self.html.open("nav", &[("aria-labelledby", "contents")]);
        self.html.element("h2", &[("id", "contents")], "Contents");
        for tag in items(&self.document["tags"]) {
            let name = text(&tag["name"]);
            let link = format!("#service-{name}");
            self.html.open("h3", &[]);
            self.html.element("a", &[("href", &link)], name);
            self.html.close("h3");
            self.html.open("ul", &[]);
            for (path, method, operation) in self.operations(tag) {
                let link = format!("#{}", text(&operation["operationId"]));
                self.html.open("li", &[]);
                let named = format!("{} {path}", method.to_uppercase());
                self.html.element("a", &[("href", &link)], &named);
                self.html
                    .write(&format!(" {}", text(&operation["summary"])));
                self.html.close("li");
            }
            self.html.close("ul");
        }
        self.html.close("nav");
    }

    fn service(&mut self, tag: &'a Value) {
        let name = text(&tag["name"]);
        let id = format!("service-{name}");
        self.html.open("section", &[("aria-labelledby", &id)]);
        self.html.element("h2", &[("id", &id)], name);
        paragraphs(&mut self.html, &tag["description"]);
        for (path, method, operation) in self.operations(tag) {
            self.operation(path, method, operation);
        }
        self.html.close("section");
    }

    fn operation(&mut self, path: &str, method: &str, operation: &'a Value) {
        self.html
            .open("article", &[("id", text(&operation["operationId"]))]);
        self.html.open("h3", &[]);
        self.html
            .element("span", &[("class", method)], &method.to_uppercase());
        self.html.element("code", &[], path);
        self.html.close("h3");
        paragraphs(&mut self.html, &operation["summary"]);
        paragraphs(&mut self.html, &operation["description"]);
        self.parameters(operation);
        self.body(&operation["requestBody"]);
        self.answers(&operation["responses"]);
        self.html.close("article");
    }

    fn parameters(&mut self, operation: &'a Value) {
        let parameters = items(&operation["parameters"]);
        if parameters.is_empty() {
            return;
        }
        self.html.element("h4", &[], "Parameters");
        let rows: Vec<_> = parameters
            .iter()
            .map(|parameter| {
                let parameter = self.resolved(parameter);
                schema::Row {
                    name: text(&parameter["name"]),
                    place: Some(text(&parameter["in"])),
                    required: parameter["required"] == true,
                    schema: &parameter["schema"],
                    description: text(&parameter["description"]),
                }
            })
            .collect();
        schema::table(&mut self.html, self.document, &rows);
    }

    fn body(&mut self, body: &'a Value) {
        for (media, content) in members(&body["content"]) {
            self.html.element("h4", &[], &format!("Body ({media})"));
            let schema = self.resolved(&content["schema"]);
            schema::table(
                &mut self.html,
                self.document,
                &rows(&fields(self.document, schema)),
            );
            self.example("Example", &content["example"]);
        }
    }

    fn answers(&mut self, responses: &'a Value) {
        self.html.element("h4", &[], "Answers");
        self.html.open("dl", &[]);
        for (status, response) in members(responses) {
            let response = self.resolved(response);
            self.html.element("dt", &[], status);
            self.html.open("dd", &[]);
            paragraphs(&mut self.html, &response["description"]);
            if !status.starts_with('4') && !status.starts_with('5') {
                self.good(response);
            }
            self.html.close("dd");
        }
        self.html.close("dl");
    }

    /// What a good answer has in it.
    fn good(&mut self, response: &'a Value) {
        for (media, content) in members(&response["content"]) {
            let all = fields(self.document, self.resolved(&content["schema"]));
            let data = all.iter().find(|field| field.name == "data");
            self.html.open("p", &[]);
            match data {
                Some(data) => {
                    self.html.prose("`data` is ");
                    kind(&mut self.html, self.document, data.schema);
                }
                None => self.html.write(media),
            }
            self.html.close("p");
            self.example("Example", &content["example"]);
        }
    }

    fn example(&mut self, title: &str, example: &Value) {
        if example.is_null() {
            return;
        }
        self.html.element("h5", &[], title);
        let shown = serde_json::to_string_pretty(example).unwrap_or_default();
        self.html.element("pre", &[], &shown);
    }

    /// Each named type that answers or inputs are made of.
    fn types(&mut self) {
        self.html.open("section", &[("aria-labelledby", "types")]);
        self.html.element("h2", &[("id", "types")], "Types");
        for (name, schema) in members(&self.document["components"]["schemas"]) {
            let all = fields(self.document, schema);
            // What has no fields is described where it is.
            if all.is_empty() {
                continue;
            }
            self.html.open("article", &[("id", &type_id(name))]);
            self.html.element("h3", &[], name);
            paragraphs(&mut self.html, &schema["description"]);
            schema::table(&mut self.html, self.document, &rows(&all));
            self.html.close("article");
        }
        self.html.close("section");
    }
}
