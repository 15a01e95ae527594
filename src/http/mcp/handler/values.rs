//! The library's types, made out of answers, and what is read of its requests.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ContentBlock, ErrorCode, ErrorData, InputRequiredResult,
    Prompt, PromptArgument, Resource, Tool, ToolAnnotations,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::http::mcp::backend::OwnedAnswer;
use crate::mcp::{self, Action, Link, NoSuchTool, Question, Refused, ToolResult};

/// The code of an error that is nobody's mistake in the request: of those that the protocol leaves to servers.
const SERVER_ERROR: ErrorCode = ErrorCode(-32000);
/// The name of the only question there is, in the request and in the answer.
const QUESTION: &str = "confirm";

/// Makes a value of the protocol out of JSON.
pub(super) fn made<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

pub(super) fn form(question: &Question) -> Value {
    json!({"mode": "form", "message": question.message, "requestedSchema": question.schema})
}

pub(super) fn required(question: &Question) -> Result<InputRequiredResult, ErrorData> {
    let request = json!({"method": "elicitation/create", "params": form(question)});
    made(json!({
        "resultType": "input_required",
        "inputRequests": {QUESTION: request},
        "requestState": question.state,
    }))
}

/// What a person answered to the question whose state comes back with a call. There is one question at a time.
pub(super) fn answered(request: &CallToolRequestParams) -> Option<OwnedAnswer> {
    let state = request.request_state.clone()?;
    let said = request.input_responses.as_ref()?.get(QUESTION)?;
    answer(state, said)
}

pub(super) fn answer(state: String, said: &Value) -> Option<OwnedAnswer> {
    let action = match said["action"].as_str()? {
        "accept" => Action::Accept,
        "decline" => Action::Decline,
        "cancel" => Action::Cancel,
        _ => return None,
    };
    let content = said["content"].as_object().cloned().unwrap_or_default();
    Some(OwnedAnswer {
        state,
        action,
        content,
    })
}

pub(super) fn tool(tool: &mcp::Tool) -> Tool {
    let hints = tool.spec().hints;
    let annotations = ToolAnnotations::from_raw(
        None,
        Some(hints.read_only),
        Some(hints.destructive),
        Some(hints.idempotent),
        Some(hints.open_world),
    );
    let made = Tool::new(
        tool.spec().name,
        tool.spec().words,
        tool.input_schema.clone(),
    );
    let made = made
        .with_title(tool.spec().title)
        .with_annotations(annotations);
    match &tool.output_schema {
        Some(schema) => made.with_raw_output_schema(Arc::new(schema.clone())),
        None => made,
    }
}

pub(super) fn tool_result(result: ToolResult) -> CallToolResult {
    let texts = result.texts.into_iter().map(ContentBlock::text);
    let links = result
        .links
        .into_iter()
        .map(|link| ContentBlock::resource_link(resource(link)));
    let content = texts.chain(links).collect();
    let mut made = if result.is_error {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    };
    made.structured_content = result.structured;
    made
}

pub(super) fn resource(link: Link) -> Resource {
    let mut made = Resource::new(link.uri, link.name);
    made.description = link.description;
    made.mime_type = link.mime_type;
    made.size = link.size;
    made
}

pub(super) fn prompt(prompt: &mcp::Prompt) -> Prompt {
    let arguments = prompt.arguments.iter().map(|argument| {
        let made = PromptArgument::new(argument.name).with_description(argument.description);
        made.with_required(argument.required)
    });
    let made = Prompt::new(
        prompt.name,
        Some(prompt.description),
        Some(arguments.collect()),
    );
    made.with_title(prompt.title)
}

pub(super) fn unknown(none: NoSuchTool) -> ErrorData {
    ErrorData::invalid_params(none.to_string(), None)
}

/// A refusal of what is no tool's call: those say it in their results.
pub(super) fn refusal(refused: Refused) -> ErrorData {
    let code = if refused.tag.starts_with("invalid-") {
        ErrorCode::INVALID_PARAMS
    } else {
        SERVER_ERROR
    };
    let facts = facts(&refused);
    ErrorData::new(code, refused.message, Some(Value::Object(facts)))
}

/// The same for a resource: whatever is the reason, it is not there to be read.
pub(super) fn unread(refused: Refused, uri: &str) -> ErrorData {
    let mut facts = facts(&refused);
    facts.insert("uri".to_owned(), json!(uri));
    let code = if refused.tag == "throttled" || refused.tag == "unavailable" {
        SERVER_ERROR
    } else {
        ErrorCode::INVALID_PARAMS
    };
    ErrorData::new(code, refused.message, Some(Value::Object(facts)))
}

pub(super) fn facts(refused: &Refused) -> Map<String, Value> {
    let mut facts = Map::new();
    facts.insert("tag".to_owned(), json!(refused.tag));
    if let Some(minor) = &refused.minor {
        facts.insert("minor".to_owned(), json!(minor));
    }
    if let Some(id) = &refused.request_id {
        facts.insert("request_id".to_owned(), json!(id));
    }
    if let Some(seconds) = refused.retry_after_seconds {
        facts.insert("retry_after_seconds".to_owned(), json!(seconds));
    }
    if !refused.details.is_empty() {
        facts.insert("details".to_owned(), Value::Object(refused.details.clone()));
    }
    facts
}
