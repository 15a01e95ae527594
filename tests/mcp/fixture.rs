//! A server with the tools, resources and prompts that the official conformance suite asks a server under test to have,
//! behind the bridge of the real endpoint. What each must answer is in the suite's own scenarios.

#![expect(
    deprecated,
    reason = "clients of the older revision may ask for it, and be asked"
)]

mod parts;

use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpServer, web};
use metarecord::bytes::Bytes;
use metarecord::http::mcp::bridge;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
    CreateMessageRequestParams, ElicitRequestParams, ErrorData, GetPromptRequestParams,
    GetPromptResponse, InputResponses, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, LoggingLevel, LoggingMessageNotificationParam,
    PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, RequestStateCodec, ServerCapabilities, ServerConfig,
    SetLevelRequestMethod, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use self::parts::{
    PNG, TOOLS, WAV, ask, choices, complete, content, defaults, form, given, is_sampler, made,
    needed, roots, sampling, text,
};

/// What states are sealed with.
const STATE_KEY: &[u8] = b"a key of the fixture, and no secret";
/// Between two notifications of a tool.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    Tools,
    Prompts,
}

/// The server under test.
#[derive(Clone)]
struct Fixture {
    changes: broadcast::Sender<Changed>,
    states: Arc<RequestStateCodec>,
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

impl Fixture {
    fn seal(&self, state: &str) -> String {
        self.states.seal(state.as_bytes())
    }

    /// What a state says, if it is one of this server's.
    fn opened(&self, state: Option<&str>) -> Result<Option<String>, ErrorData> {
        let Some(state) = state else { return Ok(None) };
        let opened = self.states.open(state);
        let opened = opened.map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        Ok(Some(String::from_utf8_lossy(&opened).into_owned()))
    }

    /// The tools that ask their client for input.
    fn asking(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let none = InputResponses::new();
        let responses = request.input_responses.as_ref().unwrap_or(&none);
        let state = self.opened(request.request_state.as_deref())?;
        match request.name.as_ref() {
            "test_input_required_result_elicitation" => match given(responses, "user_name", "name")
            {
                Some(Value::String(name)) => text(format!("Hello, {name}!")),
                Some(_) | None => ask(
                    json!({"user_name": form("What is your name?", "name", "string")}),
                    None,
                ),
            },
            "test_input_required_result_sampling" => match responses.get("capital_question") {
                Some(said) => text(said["content"]["text"].as_str().unwrap_or_default()),
                None => ask(
                    json!({"capital_question": sampling("What is the capital of France?", 100)}),
                    None,
                ),
            },
            "test_input_required_result_list_roots" => match responses.get("client_roots") {
                Some(said) => text(format!("Roots: {}", said["roots"])),
                None => ask(json!({"client_roots": roots()}), None),
            },
            "test_input_required_result_request_state"
            | "test_input_required_result_tampered_state" => {
                match (given(responses, "confirm", "ok"), state.as_deref()) {
                    (Some(_), Some("confirming")) => text("state-ok"),
                    _ => ask(
                        json!({"confirm": form("Please confirm", "ok", "boolean")}),
                        Some(self.seal("confirming")),
                    ),
                }
            }
            "test_input_required_result_multiple_inputs" => {
                let all = ["user_name", "greeting", "client_roots"];
                if state.is_some() && all.iter().all(|key| responses.contains_key(*key)) {
                    return text("All inputs are here.");
                }
                let requests = json!({"user_name": form("What is your name?", "name", "string"),
                    "greeting": sampling("Generate a greeting", 50), "client_roots": roots()});
                ask(requests, Some(self.seal("many")))
            }
            "test_input_required_result_multi_round" => match state.as_deref() {
                Some("one") if responses.contains_key("step1") => ask(
                    json!({"step2": form("Step 2: What is your favorite color?", "color", "string")}),
                    Some(self.seal("two")),
                ),
                Some("two") if responses.contains_key("step2") => text("Both steps are done."),
                _ => ask(
                    json!({"step1": form("Step 1: What is your name?", "name", "string")}),
                    Some(self.seal("one")),
                ),
            },
            _ => {
                let able = context.client_capabilities().unwrap_or_default();
                let mut requests = Map::new();
                if able.elicitation.is_some() {
                    requests.insert(
                        "name".to_owned(),
                        form("What is your name?", "name", "string"),
                    );
                }
                if is_sampler(&able) {
                    requests.insert("greeting".to_owned(), sampling("Generate a greeting", 50));
                }
                ask(Value::Object(requests), None)
            }
        }
    }

    /// The tools that speak to their client while they run.
    async fn talking(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let peer = &context.peer;
        let failed =
            |error: &dyn std::fmt::Display| ErrorData::internal_error(error.to_string(), None);
        let argument = |name: &str| {
            let arguments = request.arguments.as_ref();
            arguments
                .and_then(|all| all.get(name)?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        match request.name.as_ref() {
            "test_tool_with_progress" => {
                if let Some(token) = context.meta.get_progress_token() {
                    for progress in [0.0, 50.0, 100.0] {
                        let said = ProgressNotificationParam::new(token.clone(), progress)
                            .with_total(100.0);
                        peer.notify_progress(said)
                            .await
                            .map_err(|error| failed(&error))?;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                text("Done.")
            }
            "test_tool_with_logging" | "test_logging_tool" => {
                if !is_modern(context) || context.meta.log_level().is_some() {
                    for said in [
                        "Tool execution started",
                        "Tool processing data",
                        "Tool execution completed",
                    ] {
                        let said =
                            LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(said));
                        peer.notify_logging_message(said)
                            .await
                            .map_err(|error| failed(&error))?;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                text("Done.")
            }
            "test_sampling" => {
                let asked: CreateMessageRequestParams =
                    made(sampling(&argument("prompt"), 100)["params"].clone())?;
                let said = peer
                    .create_message(asked)
                    .await
                    .map_err(|error| failed(&error))?;
                let said = serde_json::to_value(&said).map_err(|error| failed(&error))?;
                text(format!(
                    "LLM response: {}",
                    said["content"]["text"].as_str().unwrap_or_default()
                ))
            }
            name => {
                let (message, schema) = match name {
                    "test_elicitation" => (
                        argument("message"),
                        json!({"type": "object", "properties": {
                        "username": {"type": "string", "description": "User's response"},
                        "email": {"type": "string", "description": "User's email address"}},
                        "required": ["username", "email"]}),
                    ),
                    "test_elicitation_sep1034_defaults" => ("With defaults".to_owned(), defaults()),
                    _ => ("With choices".to_owned(), choices()),
                };
                let asked: ElicitRequestParams =
                    made(json!({"mode": "form", "message": message, "requestedSchema": schema}))?;
                let said = peer
                    .create_elicitation(asked)
                    .await
                    .map_err(|error| failed(&error))?;
                let said = serde_json::to_value(&said).map_err(|error| failed(&error))?;
                text(format!(
                    "Elicitation completed: action={}, content={}",
                    said["action"], said["content"]
                ))
            }
        }
    }
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let able = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions();
        let able = able.enable_logging();
        ServerConfig::new(able.build()).with_instructions("Answers as the conformance suite asks.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = TOOLS.iter().map(|(name, parameters)| {
            let properties = parameters.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
            let properties: JsonObject = properties.collect();
            json!({"name": name, "description": format!("Is asked for as {name}."),
                "inputSchema": {"type": "object", "properties": properties, "required": parameters}})
        });
        complete(json!({"tools": tools.collect::<Vec<_>>()}))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let embedded = |uri: &str| {
            json!({"type": "resource", "resource": {"uri": uri,
            "mimeType": "application/json", "text": r#"{"test":"data","value":123}"#}})
        };
        let image = json!({"type": "image", "data": PNG, "mimeType": "image/png"});
        match request.name.as_ref() {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => content(json!([image])),
            "test_audio_content" => {
                content(json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]))
            }
            "test_embedded_resource" => content(json!([embedded("test://embedded-resource")])),
            "test_multiple_content_types" => content(json!([
                {"type": "text", "text": "Multiple content types test:"},
                image,
                embedded("test://mixed-content-resource"),
            ])),
            "test_error_handling" => Ok(CallToolResponse::Complete(complete(
                json!({"isError": true,
                "content": [{"type": "text", "text": "This tool intentionally returns an error for testing"}]}),
            )?)),
            "test_missing_capability" => {
                if context
                    .client_capabilities()
                    .is_some_and(|able| is_sampler(&able))
                {
                    return text("The capability is there.");
                }
                Err(ErrorData::missing_required_client_capability(made(
                    json!({"sampling": {}}),
                )?))
            }
            "test_streaming_elicitation" => ask(
                json!({"name": form("What is your name?", "name", "string")}),
                None,
            ),
            "test_trigger_tool_change" | "test_trigger_prompt_change" => {
                let changed = if request.name.contains("tool") {
                    Changed::Tools
                } else {
                    Changed::Prompts
                };
                // Nobody listens: nobody is to be told.
                let _: Result<_, _> = self.changes.send(changed);
                text("Changed.")
            }
            name if name.starts_with("test_input_required_result_") => {
                self.asking(&request, &context)
            }
            name if TOOLS.iter().any(|(known, _)| *known == name) => {
                self.talking(&request, &context).await
            }
            name => Err(ErrorData::invalid_params(
                format!("Unknown tool: {name}"),
                None,
            )),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        complete(json!({"resources": [
            {"uri": "test://static-text", "name": "text", "description": "A text.", "mimeType": "text/plain"},
            {"uri": "test://static-binary", "name": "pixel", "description": "A pixel.", "mimeType": "image/png"},
        ]}))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        complete(
            json!({"resourceTemplates": [{"uriTemplate": "test://template/{id}/data", "name": "data",
            "description": "Data of an id.", "mimeType": "application/json"}]}),
        )
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let id = uri
            .strip_prefix("test://template/")
            .and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (uri, id) {
            ("test://static-text", _) => json!({"uri": uri, "mimeType": "text/plain",
                "text": "This is the content of the static text resource."}),
            ("test://static-binary", _) => {
                json!({"uri": uri, "mimeType": "image/png", "blob": PNG})
            }
            (_, Some(id)) => {
                let data =
                    json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                json!({"uri": uri, "mimeType": "application/json", "text": data.to_string()})
            }
            _ => {
                return Err(ErrorData::invalid_params(
                    "There is no such resource.",
                    Some(json!({"uri": uri})),
                ));
            }
        };
        Ok(ReadResourceResponse::Complete(complete(
            json!({"contents": [contents]}),
        )?))
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_modern(&context) {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        Ok(())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        complete(
            json!({"completion": {"values": ["paris", "park", "party"], "total": 3, "hasMore": false}}),
        )
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let argument =
            |name: &str| json!({"name": name, "description": "An argument.", "required": true});
        complete(json!({"prompts": [
            {"name": "test_simple_prompt", "description": "Without arguments."},
            {"name": "test_prompt_with_arguments", "description": "With two.", "arguments": [argument("arg1"), argument("arg2")]},
            {"name": "test_prompt_with_embedded_resource", "description": "With a resource.", "arguments": [argument("resourceUri")]},
            {"name": "test_prompt_with_image", "description": "With an image."},
            {"name": "test_input_required_result_prompt", "description": "Asks for a context."},
        ]}))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let argument = |name: &str| {
            let arguments = request.arguments.as_ref();
            arguments
                .and_then(|all| all.get(name))
                .map(|value| json!(value))
                .unwrap_or_default()
        };
        let said =
            |text: String| json!({"role": "user", "content": {"type": "text", "text": text}});
        let shown = |content: Value| json!({"role": "user", "content": content});
        let messages = match request.name.as_str() {
            "test_simple_prompt" => {
                json!([said("This is a simple prompt for testing.".to_owned())])
            }
            "test_prompt_with_arguments" => {
                let (one, two) = (argument("arg1"), argument("arg2"));
                let (one, two) = (
                    one.as_str().unwrap_or_default(),
                    two.as_str().unwrap_or_default(),
                );
                json!([said(format!(
                    "Prompt with arguments: arg1='{one}', arg2='{two}'"
                ))])
            }
            "test_prompt_with_embedded_resource" => json!([
                shown(
                    json!({"type": "resource", "resource": {"uri": argument("resourceUri"), "mimeType": "text/plain",
                    "text": "Embedded resource content for testing."}})
                ),
                said("Please process the embedded resource above.".to_owned()),
            ]),
            "test_prompt_with_image" => json!([
                shown(json!({"type": "image", "data": PNG, "mimeType": "image/png"})),
                said("Please analyze the image above.".to_owned()),
            ]),
            "test_input_required_result_prompt" => {
                let responses = request.input_responses.unwrap_or_default();
                let Some(context) = given(&responses, "user_context", "context") else {
                    let asked = json!({"user_context": form("What context should the prompt use?", "context", "string")});
                    return Ok(GetPromptResponse::InputRequired(made(needed(asked, None))?));
                };
                json!([said(format!("Context: {context}"))])
            }
            name => {
                return Err(ErrorData::invalid_params(
                    format!("Unknown prompt: {name}"),
                    None,
                ));
            }
        };
        Ok(GetPromptResponse::Complete(complete(
            json!({"messages": messages}),
        )?))
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let changed = tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = changes.recv() => changed,
            };
            let accepted = context.accepted();
            let (tools, prompts) = (accepted.tools_list_changed, accepted.prompts_list_changed);
            let sent = match changed {
                Ok(Changed::Tools) if tools == Some(true) => {
                    context.sink().notify_tool_list_changed().await
                }
                Ok(Changed::Prompts) if prompts == Some(true) => {
                    context.sink().notify_prompt_list_changed().await
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
            if sent.is_err() {
                return Ok(());
            }
        }
    }
}

/// Serves the fixture on a port of its own until the process ends, and returns its URL.
pub(super) fn serve() -> String {
    let (changes, _) = broadcast::channel(16);
    let states = RequestStateCodec::try_new(STATE_KEY).expect("the key is long enough");
    let fixture = Fixture {
        changes,
        states: Arc::new(states),
    };
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let address = listener.local_addr().expect("it is bound");
            // With sessions, because clients of the older revision are asked for input within one.
            let config = StreamableHttpServerConfig::default().with_allowed_origins([
                format!("http://{address}"),
                format!("http://localhost:{}", address.port()),
            ]);
            let service = StreamableHttpService::new(
                move || Ok(fixture.clone()),
                Arc::new(LocalSessionManager::default()),
                config,
            );
            let server = HttpServer::new(move || {
                let service = service.clone();
                App::new().default_service(web::to(move |request: HttpRequest, body: Bytes| {
                    let service = service.clone();
                    async move {
                        bridge::forward(&service, &request, body, ())
                            .await
                            .respond()
                    }
                }))
            });
            let server = server
                .workers(1)
                .disable_signals()
                .listen(listener)
                .expect("it can be listened on");
            told.send(address).expect("the caller waits");
            server.run().await
        })
    });
    let address = address.recv().expect("the server starts");
    format!("http://{address}/mcp")
}
