//! What works on the requests of agents, wherever that may be: within the server, or as a client of one.

use std::future::Future;

use serde_json::{Map, Value};

use super::FromHttp;
use crate::mcp::{
    self, Action, Audience, Completion, NoSuchTool, Outcome, Refused, ResourcePage, ResourceText,
    Surface,
};

/// What a request says besides its parameters.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Name and version of the client, as it says.
    pub client: Option<(String, String)>,
    /// The W3C trace context of the call.
    pub traceparent: Option<String>,
    /// Whether the person at the client can be asked.
    pub can_ask: bool,
    /// What the person answered to the question of this very call.
    pub answer: Option<OwnedAnswer>,
    /// What the HTTP request says; absent over standard input and output.
    pub http: Option<FromHttp>,
    /// What the log calls it, such as `mcp/tools-list` or `mcp/record_get`.
    pub label: &'static str,
}

/// What a person answered to a question.
#[derive(Clone, Debug)]
pub struct OwnedAnswer {
    /// The state of the question.
    pub state: String,
    /// What the person did.
    pub action: Action,
    /// What the person filled in.
    pub content: Map<String, Value>,
}

impl Asked {
    /// The caller of a tool, for the principal that a backend knows.
    pub fn caller<'a>(&'a self, identity: String, org: Option<&'a str>) -> mcp::Caller<'a> {
        let client = self.client.as_ref();
        mcp::Caller {
            identity,
            org,
            client: client.map(|(name, version)| (&**name, &**version)),
            traceparent: self.traceparent.as_deref(),
            can_ask: self.can_ask,
            answer: self.answer.as_ref().map(|answer| mcp::Answer {
                state: &answer.state,
                action: answer.action,
                content: answer.content.clone(),
            }),
        }
    }
}

/// Works on requests, wherever that may be done.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Whether a connection is one client's own, so that one of an older revision can be asked questions, too.
    const STATEFUL: bool;

    /// Whether it knows when records change.
    const WATCHES: bool = false;

    /// Whose tools they are.
    fn surface(&self) -> Surface;

    /// Notes what a client asks for that needs no work.
    fn note(&self, asked: &Asked) {
        let _ = asked;
    }

    /// Those of some records that the caller may listen to.
    fn watchable(
        &self,
        asked: &Asked,
        uris: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, Refused>> + Send {
        let _ = asked;
        std::future::ready(Ok(uris))
    }

    /// What changed of some records since an earlier look, or since none.
    fn changes(
        &self,
        asked: &Asked,
        uris: Vec<String>,
        since: Seen,
    ) -> impl Future<Output = Result<Changes, Refused>> + Send {
        let _ = (asked, uris, since);
        std::future::ready(Ok(Changes::default()))
    }

    /// Whom lists are made for.
    fn audience(&self, asked: &Asked) -> impl Future<Output = Result<Audience, Refused>> + Send;

    /// Calls a tool by its name.
    fn call(
        &self,
        asked: &Asked,
        name: String,
        arguments: Map<String, Value>,
    ) -> impl Future<Output = Result<Result<Outcome, NoSuchTool>, Refused>> + Send;

    /// A page of resources.
    fn resources(
        &self,
        asked: &Asked,
        cursor: Option<String>,
    ) -> impl Future<Output = Result<ResourcePage, Refused>> + Send;

    /// The texts of a resource.
    fn read_resource(
        &self,
        asked: &Asked,
        uri: String,
    ) -> impl Future<Output = Result<Vec<ResourceText>, Refused>> + Send;

    /// What an argument could be.
    fn complete(
        &self,
        asked: &Asked,
        argument: (String, String),
        context: Map<String, Value>,
    ) -> impl Future<Output = Result<Completion, Refused>> + Send;
}

/// What changed of the records that a client listens to.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// What the next look is compared with.
    pub seen: Seen,
    /// The URIs of those that changed and that the caller may read.
    pub uris: Vec<String>,
}

/// What a look at records found.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The position up to which all changes were there; until it moves, there is nothing new to see. `None` to look again anyway.
    pub shown_to: Option<u64>,
    /// The revision of each record, in the order in which they were asked for; `None` where there is none.
    pub revisions: Vec<Option<u64>>,
}
