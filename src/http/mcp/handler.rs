//! What a server of the Model Context Protocol answers with, whatever a client is connected by: makes requests out of the
//! library's types, has a [`Backend`] work on them, and makes the library's types out of the answers.

mod values;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, ClientCapabilities, CompleteRequestParams,
    CompleteResult, CompletionInfo, CustomRequest, CustomResult, DiscoverResult,
    ElicitRequestParams, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, Implementation, InitializeRequestParams, InitializeResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    PromptMessage, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ResourceContents, ResourceTemplate, Role, ServerCapabilities, ServerConfig,
    SubscriptionFilter,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::json;

use self::values::{
    answer, answered, form, made, prompt, refusal, required, resource, tool, tool_result, unknown,
    unread,
};
use super::FromHttp;
pub use super::backend::{Asked, Backend, Changes, OwnedAnswer, Seen};
use crate::mcp::{Audience, Completion, Outcome, Question, Surface, Toolbox};

/// The name under which clients know this server.
const NAME: &str = "metarecord";
/// How long a client may keep a list that only a new version, a setting or another role changes.
const LIST_TTL_MS: u64 = 60_000;
/// Revisions that are served, oldest first. The one before them has another transport.
const REVISIONS: &[ProtocolVersion] = &[
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];
/// Most records that a client listens to with one request; others are left out, as the acknowledgment says.
const WATCHED_MAX: usize = 32;
/// How often it is looked whether they changed. While nothing changed at all, a look reads one row.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// What the log calls a tool that there is none of.
const UNKNOWN_TOOL: &str = "mcp/unknown";

/// The methods that are served, but for `initialize`: in the revision without it, it is an unknown one.
const METHODS: &[&str] = &[
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "server/discover",
    "subscriptions/listen",
    "tools/call",
    "tools/list",
];
/// Longest name of an unknown method that is shown, in characters.
const METHOD_CHARS_MAX: usize = 64;

/// The server, for as long as a connection or a request lasts.
#[derive(Clone)]
pub struct McpHandler<B> {
    toolbox: Arc<Toolbox>,
    backend: B,
}

impl<B: Backend> McpHandler<B> {
    /// With all tools, and what works on their calls.
    pub fn new(toolbox: Arc<Toolbox>, backend: B) -> Self {
        Self { toolbox, backend }
    }

    fn asked(&self, context: &RequestContext<RoleServer>, label: &'static str) -> Asked {
        let meta = &context.meta;
        // Without a connection of its own, a client of an older revision is unknown after its first request.
        let known = context.peer.peer_info().filter(|_| B::STATEFUL);
        let client = meta.client_info();
        let client = client.or_else(|| known.as_ref().map(|info| info.client_info.clone()));
        let able = match meta.client_capabilities() {
            Some(able) if is_modern(context) || B::STATEFUL => Some(able),
            Some(_) | None => known.map(|info| info.capabilities.clone()),
        };
        let parts = context.extensions.get::<::http::request::Parts>();
        Asked {
            client: client.map(|client| (client.name.to_string(), client.version.to_string())),
            traceparent: meta.get_traceparent().map(str::to_owned),
            can_ask: able.is_some_and(|able| takes_forms(&able)),
            answer: None,
            http: parts.and_then(|parts| parts.extensions.get::<FromHttp>().cloned()),
            label,
        }
    }

    async fn audience(
        &self,
        context: &RequestContext<RoleServer>,
        label: &'static str,
    ) -> Result<Audience, ErrorData> {
        let asked = self.asked(context, label);
        self.backend.audience(&asked).await.map_err(refusal)
    }

    /// The server as a client meets it, with what that client's model is told.
    fn introduced(&self, audience: &Audience) -> ServerConfig {
        self.get_info()
            .with_instructions(self.toolbox.instructions(audience))
    }

    /// Asks the person at a client that keeps a connection, and calls the tool again with the answer.
    async fn ask_at_once(
        &self,
        (mut asked, context): (Asked, &RequestContext<RoleServer>),
        request: CallToolRequestParams,
        question: Question,
    ) -> Result<Outcome, ErrorData> {
        let params: ElicitRequestParams = made(form(&question))?;
        let said = context.peer.create_elicitation(params).await;
        let said = said.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let said = serde_json::to_value(&said).unwrap_or_default();
        asked.answer = answer(question.state, &said);
        let (name, arguments) = (
            request.name.into_owned(),
            request.arguments.unwrap_or_default(),
        );
        let called = self.backend.call(&asked, name, arguments).await;
        called.map_err(refusal)?.map_err(unknown)
    }
}

impl<B: Backend> ServerHandler for McpHandler<B> {
    fn get_info(&self) -> ServerConfig {
        let able = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts();
        let able = match self.backend.surface() {
            Surface::Tenant if B::WATCHES => able
                .enable_resources()
                .enable_resources_subscribe()
                .enable_completions()
                .build(),
            Surface::Tenant => able.enable_resources().enable_completions().build(),
            Surface::Operator => able.build(),
        };
        let server = Implementation::new(NAME, env!("CARGO_PKG_VERSION")).with_title("Metarecord");
        ServerConfig::new(able).with_server_info(server)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(REVISIONS)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let audience = self.audience(&context, "mcp/initialize").await?;
        context.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        result.instructions = self.introduced(&audience).instructions;
        if let Some(resources) = &mut result.capabilities.resources {
            // Clients of older revisions would subscribe within a session.
            resources.subscribe = None;
        }
        Ok(result)
    }

    async fn discover(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let audience = self.audience(&context, "mcp/discover").await?;
        Ok(DiscoverResult::from_server_info(
            REVISIONS.to_vec(),
            self.introduced(&audience),
        ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let audience = self.audience(&context, "mcp/tools-list").await?;
        let tools = self.toolbox.list(&audience).into_iter().map(tool);
        let result = ListToolsResult::with_all_items(tools.collect());
        Ok(result
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let known = self
            .toolbox
            .all()
            .iter()
            .find(|tool| tool.spec().name == request.name);
        let label = known.map_or(UNKNOWN_TOOL, |tool| tool.spec().label);
        let mut asked = self.asked(&context, label);
        asked.answer = answered(&request);
        let (name, arguments) = (
            request.name.to_string(),
            request.arguments.clone().unwrap_or_default(),
        );
        let called = self.backend.call(&asked, name, arguments).await;
        let mut outcome = called.map_err(refusal)?.map_err(unknown)?;
        if let Outcome::Ask(question) = outcome {
            if is_modern(&context) {
                return Ok(CallToolResponse::InputRequired(required(&question)?));
            }
            outcome = self
                .ask_at_once((asked, &context), request, question)
                .await?;
        }
        match outcome {
            Outcome::Done(result) => Ok(CallToolResponse::Complete(tool_result(result))),
            Outcome::Ask(_) => Err(ErrorData::internal_error(
                "The answer was asked for again.",
                None,
            )),
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let asked = self.asked(&context, "mcp/resources-list");
        let cursor = request.and_then(|request| request.cursor);
        let page = self
            .backend
            .resources(&asked, cursor)
            .await
            .map_err(refusal)?;
        let mut result =
            ListResourcesResult::with_all_items(page.items.into_iter().map(resource).collect());
        result.next_cursor = page.next_cursor;
        Ok(result.with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = match self.backend.surface() {
            Surface::Tenant => {
                let template = self.toolbox.resource_template();
                let template = ResourceTemplate::new(template.uri_template, template.name)
                    .with_title(template.title)
                    .with_description(template.description);
                vec![template]
            }
            Surface::Operator => Vec::new(),
        };
        let result = ListResourceTemplatesResult::with_all_items(templates);
        Ok(result
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let asked = self.asked(&context, "mcp/resources-read");
        let texts = self
            .backend
            .read_resource(&asked, request.uri.clone())
            .await;
        let texts = texts.map_err(|refused| unread(refused, &request.uri))?;
        let contents = texts
            .into_iter()
            .map(|text| ResourceContents::text(text.text, text.uri).with_mime_type(text.mime_type));
        let result = ReadResourceResult::new(contents.collect());
        Ok(result
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private)
            .into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let asked = self.asked(&context, "mcp/complete");
        let chosen = request.context.and_then(|context| context.arguments);
        let chosen = chosen
            .into_iter()
            .flatten()
            .map(|(name, value)| (name, json!(value)));
        let argument = (request.argument.name, request.argument.value);
        let found = self
            .backend
            .complete(&asked, argument, chosen.collect())
            .await;
        let Completion {
            mut values,
            has_more,
        } = found.map_err(refusal)?;
        let has_more = has_more || values.len() > CompletionInfo::MAX_VALUES;
        values.truncate(CompletionInfo::MAX_VALUES);
        let info = CompletionInfo::with_pagination(values, None, has_more);
        let info = info.map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(info))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.backend.note(&self.asked(&context, "mcp/prompts-list"));
        let prompts = self.toolbox.prompts(self.backend.surface());
        let prompts = prompts.into_iter().map(prompt);
        let result = ListPromptsResult::with_all_items(prompts.collect());
        Ok(result
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Private))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.backend.note(&self.asked(&context, "mcp/prompts-get"));
        let arguments = request.arguments.unwrap_or_default();
        let surface = self.backend.surface();
        let Some(messages) = self.toolbox.prompt(surface, &request.name, &arguments) else {
            let message =
                "There is no such prompt, or a required argument is missing; see prompts/list.";
            return Err(ErrorData::invalid_params(message, None));
        };
        let messages = messages
            .into_iter()
            .map(|text| PromptMessage::new_text(Role::User, text));
        Ok(GetPromptResult::new(messages.collect()).into())
    }

    /// Refuses what the library cannot read as a request of the protocol: an unknown method, or a known one with other params.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        if METHODS.contains(&&*method) {
            let message = format!("The params of {method} are not as the protocol has them.");
            return Err(ErrorData::invalid_params(message, None));
        }
        let shown = method.chars().filter(|c| !c.is_control());
        let shown: String = shown.take(METHOD_CHARS_MAX).collect();
        let message = format!("There is no method {shown} here.");
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None))
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        if !B::WATCHES || self.backend.surface() == Surface::Operator {
            return None;
        }
        let uris = requested.resource_subscriptions.iter().flatten();
        let uris = uris.take(WATCHED_MAX).cloned();
        Some(
            SubscriptionFilter::builder()
                .resource_subscriptions(uris)
                .build(),
        )
    }

    /// Tells which records changed, by their URIs alone: the client reads them by its own right.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let asked = self.asked(context.request_context(), "mcp/subscriptions-listen");
        let uris = context.accepted().resource_subscriptions.clone();
        let uris = self.backend.watchable(&asked, uris.unwrap_or_default());
        let uris = uris.await.map_err(refusal)?;
        let mut since = Seen::default();
        loop {
            let looked = self.backend.changes(&asked, uris.clone(), since).await;
            let changes = looked.map_err(refusal)?;
            since = changes.seen;
            for uri in changes.uris {
                if context.sink().notify_resource_updated(uri).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = tokio::time::sleep(WATCH_EVERY) => {}
            }
        }
    }
}

/// Whether a request is of the revision that needs no connection, or of a later one.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Whether a client shows forms. Until 2025-06-18 an empty object said so.
fn takes_forms(able: &ClientCapabilities) -> bool {
    let asks = able.elicitation.as_ref();
    asks.is_some_and(|asks| asks.form.is_some() || asks.url.is_none())
}
