//! A record's content in a result: text within a boundary and cut where the result ends, anything else as a link.

use serde_json::Value;

use super::api::{Api, Good, Refused};
use super::call::{Call, Stop, URL_SECONDS};
use super::shape::{self, Link, ToolResult, with_id};
use super::uri;

/// Bytes of content when the caller does not say.
pub(super) const BYTES_DEFAULT: u64 = 8_192;
/// Most bytes of content in a result.
pub(super) const BYTES_MAX: u64 = 32_768;
/// Bytes of a result that are left for what is said about its content, or about a plan.
pub(super) const NOTES_BYTES: usize = 1_024;
/// Media types besides `text/*` whose content is text.
const TEXT_TYPES: &[&str] = &["application/json", "application/xml", "application/csv"];

/// The content of a record as far as it was read.
pub(super) struct Read {
    /// The text; `None` for what is not text.
    pub(super) text: Option<String>,
    /// Whether there is more of it.
    pub(super) is_cut: bool,
}

impl<A: Api> Call<'_, A> {
    /// Reads a record: facts, and content as far as it is wanted.
    pub(super) async fn record(&self) -> Result<ToolResult, Stop> {
        let wanted = self.number("content_bytes").unwrap_or(BYTES_DEFAULT);
        let version = self.number("version");
        let mut query = self.place().await?;
        query.extend(self.doomed());
        query.extend(self.filters(&["as_of"]));
        if wanted == 0 && version.is_none() {
            let good = self.get("/mrs/record/meta", query).await?;
            return Ok(ToolResult::of(facts(good.data, good.request_id)));
        }
        query.extend(version.map(|version| ("version", version.to_string())));
        query.push(("url_seconds", URL_SECONDS.to_string()));
        let good = self.get("/mrs/record", query).await?;
        let read = self.content(&good, wanted).await?;
        let link = link(&good.data, version);
        let mut value = facts(good.data.clone(), good.request_id);
        if self.env.audience.urls
            && let Some(url) = good.data["download"].get("url")
        {
            value["download_url"] = url.clone();
            value["download_expires_at"] = good.data["download"]["expires_at"].clone();
        }
        Ok(self.with_content(value, read, link))
    }

    /// What is wanted of the content of an answer.
    pub(super) async fn content(&self, good: &Good, wanted: u64) -> Result<Read, Stop> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let kind = good.data["content_type"].as_str().unwrap_or_default();
        if let Some(text) = &good.content {
            return Ok(Read {
                text: Some(text.clone()),
                is_cut: false,
            });
        }
        let Some(url) = good.data["download"]["url"]
            .as_str()
            .filter(|_| is_text(kind) && wanted > 0)
        else {
            return Ok(Read {
                text: None,
                is_cut: false,
            });
        };
        // One byte more, to see whether there is more.
        let bytes = self.env.api.content(url.to_owned(), wanted + 1).await;
        let bytes = bytes.map_err(|failure| Refused::here("unreachable", failure.0))?;
        let is_cut = bytes.len() > wanted;
        let bytes = &bytes[..bytes.len().min(wanted)];
        Ok(match text_of(bytes, is_cut) {
            Some(text) => Read {
                text: Some(text.to_owned()),
                is_cut,
            },
            // It is not the text that its type says.
            None => Read {
                text: None,
                is_cut: false,
            },
        })
    }

    /// Adds content to facts, cut where the result must end.
    fn with_content(&self, mut facts: Value, read: Read, link: Link) -> ToolResult {
        let wanted = self.number("content_bytes").unwrap_or(BYTES_DEFAULT);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut result = ToolResult::of(facts.clone());
        let Some(text) = read.text.filter(|_| wanted > 0) else {
            if wanted > 0 {
                result.links.push(link);
            }
            return result;
        };
        let used = result.bytes() + shape::boundary_bytes() + NOTES_BYTES;
        let left = self.env.result_bytes_max.saturating_sub(used);
        let shown = shape::beginning(&text, wanted, left);
        if read.is_cut || shown.len() < text.len() {
            facts["content_truncated"] = true.into();
            facts["content_bytes_shown"] = shown.len().into();
            result = ToolResult::of(facts);
            result.links.push(link);
        }
        result.texts.push(shape::bounded(shown));
        result
    }
}

/// A record's facts, without how to download it.
fn facts(mut data: Value, request_id: Option<String>) -> Value {
    if let Some(members) = data.as_object_mut() {
        members.remove("download");
        if members.contains_key("hold") || members.contains_key("legal_holds") {
            members.insert("held".to_owned(), true.into());
        }
    }
    with_id(data, request_id)
}

fn link(data: &Value, version: Option<u64>) -> Link {
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let record_id = text("record_id");
    Link {
        uri: uri::of_record(text("orgcode"), text("container"), record_id, version),
        name: record_id.to_owned(),
        description: None,
        mime_type: data["content_type"]
            .as_str()
            .map(|kind| shape::essence(kind).to_owned()),
        size: data["content_size"].as_u64(),
    }
}

/// Whether content of a media type is text that can be shown.
pub(super) fn is_text(content_type: &str) -> bool {
    let kind = shape::essence(content_type).to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || TEXT_TYPES.contains(&kind.as_str())
}

/// The text that bytes are; a last character may be incomplete where they were cut.
fn text_of(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// What a resource's read has of a record's content.
pub(super) struct Whole {
    pub(super) mime_type: String,
    pub(super) text: Option<String>,
    pub(super) is_cut: bool,
    pub(super) size: Option<u64>,
}

impl<A: Api> Call<'_, A> {
    /// The content of a record as far as one result has it, for a client that reads a resource.
    pub(super) async fn whole(&self) -> Result<Whole, Stop> {
        let mut query = self.place().await?;
        let version = self.number("version");
        query.extend(version.map(|version| ("version", version.to_string())));
        query.push(("url_seconds", URL_SECONDS.to_string()));
        let good = self.get("/mrs/record", query).await?;
        let read = self.content(&good, BYTES_MAX).await?;
        let left = self.env.result_bytes_max.saturating_sub(NOTES_BYTES);
        let text = read.text.as_deref();
        let shown = text.map(|text| shape::beginning(text, left, left));
        let is_shorter = shown.map(str::len) < text.map(str::len);
        let kind = good.data["content_type"].as_str().unwrap_or_default();
        Ok(Whole {
            mime_type: shape::essence(kind).to_owned(),
            text: shown.map(str::to_owned),
            is_cut: read.is_cut || is_shorter,
            size: good.data["content_size"].as_u64(),
        })
    }

    /// The first names of a list that begin with a text, for completion.
    pub(super) async fn names(
        &self,
        path: &'static str,
        query: Vec<(&'static str, String)>,
        member: &str,
    ) -> Result<(Vec<String>, bool), Stop> {
        let good = self.get(path, query).await?;
        let items = good.data["items"].as_array().into_iter().flatten();
        let names = items.filter_map(|item| Some(item[member].as_str()?.to_owned()));
        Ok((names.collect(), good.data.get("next_token").is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_of_text_are_shown() {
        for (kind, text) in [
            ("text/plain", true),
            ("Text/HTML; charset=utf-8", true),
            ("application/json", true),
            ("application/problem+json", true),
            ("image/svg+xml", true),
            ("application/octet-stream", false),
            ("image/png", false),
            ("", false),
        ] {
            assert_eq!(is_text(kind), text, "{kind}");
        }
    }

    #[test]
    fn a_character_that_was_cut_is_left_out_and_no_text_is_none() {
        assert_eq!(text_of("aü".as_bytes(), true), Some("aü"));
        assert_eq!(text_of(&"aü".as_bytes()[..2], true), Some("a"));
        assert_eq!(text_of(&"aü".as_bytes()[..2], false), None);
        assert_eq!(text_of(&[0xff, 0xfe], true), None);
    }
}
