//! Where the tools' work is done: on the thread that serves, because handlers of routes stay on theirs, while the library's
//! may move. A request's work comes here by a channel, and its answer goes back the same way.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::backend::{Asked, Backend, Changes};
use super::from_http::{FromHttp, Known};
use crate::domain::{ErrorTag, Rejection};
use crate::http::inner::{InnerAnswer, InnerRequest, carry_out, carry_out_for_operator};
use crate::http::presigned::peek::peek;
use crate::http::reply::{Refusal, unavailable};
use crate::http::state::AppState;
use crate::mcp::{
    Address, Api, ApiAnswer, ApiFailure, ApiRequest, Audience, Completion, Desk as ToolDesk, Door,
    Mode, NoSuchTool, Outcome, Refused, ResourcePage, ResourceText, Surface, Toolbox, Who,
};

/// Work at a desk.
type Job = Box<dyn FnOnce(Rc<Desk>) -> LocalBoxFuture<'static, ()> + Send>;

/// Has work done at the desk of one thread.
#[derive(Clone)]
pub(super) struct HttpBackend {
    jobs: mpsc::UnboundedSender<Job>,
    surface: Surface,
}

/// Opens the desk of the calling thread. What waits there is bounded by the requests that are let in.
pub(super) fn desk(shared: Arc<Shared>, toolbox: Arc<Toolbox>, surface: Surface) -> HttpBackend {
    let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
    let desk = Rc::new(Desk { shared, toolbox });
    actix_web::rt::spawn(async move {
        while let Some(job) = waiting.recv().await {
            actix_web::rt::spawn(job(desk.clone()));
        }
    });
    HttpBackend { jobs, surface }
}

impl HttpBackend {
    /// Has something done, unless nobody waits for it any more: a client that disconnects ends the work as it does on the routes.
    async fn at_desk<T: Send + 'static>(
        &self,
        asked: &Asked,
        work: impl for<'a> FnOnce(
            &'a Desk,
            &'a Asked,
            FromHttp,
        ) -> LocalBoxFuture<'a, Result<T, Refused>>
        + Send
        + 'static,
    ) -> Result<T, Refused> {
        let Some(http) = asked.http.clone() else {
            return Err(of_rejection(&unavailable()));
        };
        http.told.asks(asked.label);
        let (mut reply, answer) = oneshot::channel();
        let asked = asked.clone();
        let job: Job = Box::new(move |desk| {
            Box::pin(async move {
                let working = work(&desk, &asked, http);
                let done = tokio::select! {
                    done = working => Some(done),
                    () = reply.closed() => None,
                };
                if let Some(done) = done {
                    // Nobody waits for it any more.
                    let _: Result<(), _> = reply.send(done);
                }
            })
        });
        let given = self.jobs.send(job).is_ok();
        match answer.await {
            Ok(done) if given => done,
            Ok(_) | Err(_) => Err(of_rejection(&unavailable())),
        }
    }
}

impl Backend for HttpBackend {
    const STATEFUL: bool = false;
    const WATCHES: bool = true;

    async fn watchable(&self, asked: &Asked, uris: Vec<String>) -> Result<Vec<String>, Refused> {
        self.at_desk(asked, move |desk, asked, http| {
            Box::pin(desk.watchable(asked, http, uris))
        })
        .await
    }

    async fn changes(
        &self,
        asked: &Asked,
        uris: Vec<String>,
        since: Vec<Option<u64>>,
    ) -> Result<Changes, Refused> {
        self.at_desk(asked, move |desk, asked, http| {
            Box::pin(desk.changes(asked, http, uris, since))
        })
        .await
    }

    fn surface(&self) -> Surface {
        self.surface
    }

    fn audience(&self, asked: &Asked) -> impl Future<Output = Result<Audience, Refused>> + Send {
        self.at_desk(asked, |desk, asked, http| {
            Box::pin(desk.audience(asked, http))
        })
    }

    async fn call(
        &self,
        asked: &Asked,
        name: String,
        arguments: Map<String, Value>,
    ) -> Result<Result<Outcome, NoSuchTool>, Refused> {
        self.at_desk(asked, move |desk, asked, http| {
            Box::pin(async move {
                let called = desk.call(asked, http.clone(), &name, arguments).await;
                if let Ok(Ok(Outcome::Done(result))) = &called {
                    http.told.note_refused(result.is_error);
                }
                called
            })
        })
        .await
    }

    async fn resources(
        &self,
        asked: &Asked,
        cursor: Option<String>,
    ) -> Result<ResourcePage, Refused> {
        self.at_desk(asked, move |desk, asked, http| {
            Box::pin(async move {
                let seat = desk.seat(asked, http)?;
                let toolbox = &desk.toolbox;
                toolbox
                    .resources(&seat.tools(desk), cursor.as_deref())
                    .await
            })
        })
        .await
    }

    async fn read_resource(
        &self,
        asked: &Asked,
        uri: String,
    ) -> Result<Vec<ResourceText>, Refused> {
        self.at_desk(asked, move |desk, asked, http| {
            Box::pin(async move {
                let seat = desk.seat(asked, http)?;
                desk.toolbox.read_resource(&seat.tools(desk), &uri).await
            })
        })
        .await
    }

    async fn complete(
        &self,
        asked: &Asked,
        (argument, value): (String, String),
        context: Map<String, Value>,
    ) -> Result<Completion, Refused> {
        self.at_desk(asked, move |desk, asked, http| {
            Box::pin(async move {
                let seat = desk.seat(asked, http)?;
                let toolbox = &desk.toolbox;
                Ok(toolbox
                    .complete(&seat.tools(desk), &argument, &value, &context)
                    .await)
            })
        })
        .await
    }
}

/// What one thread works with.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    toolbox: Arc<Toolbox>,
}

/// One request at a desk.
struct Seat<'a> {
    asked: &'a Asked,
    app: Arc<AppState>,
    api: InnerApi,
    audience: Audience,
}

impl Desk {
    async fn audience(&self, asked: &Asked, http: FromHttp) -> Result<Audience, Refused> {
        let who = match &http.known {
            Known::Operator { scopes, .. } => Who::Operator {
                scopes: scopes.clone(),
            },
            Known::Tenant { .. } => {
                http.told.note_lines();
                let caller = http.caller.clone();
                let request = InnerRequest::get(asked.label, "/whoami", caller, String::new());
                let answer = carry_out(&self.shared.gateway, request).await;
                Who::of_whoami(&data_of(&answer)?)
            }
        };
        Ok(self.shown(who, http.mode))
    }

    fn shown(&self, who: Who, mode: Mode) -> Audience {
        let settings = &self.shared.settings;
        Audience {
            who,
            door: Door::Http,
            mode,
            urls: settings.urls,
            confirm: settings.confirm,
        }
    }

    fn seat<'a>(&self, asked: &'a Asked, http: FromHttp) -> Result<Seat<'a>, Refused> {
        let app = self.shared.gateway.app();
        let app = app.ok_or_else(|| of_rejection(&unavailable()))?.clone();
        // A tool that a role does not show is called all the same: its route refuses.
        let who = match &http.known {
            Known::Tenant { .. } => Who::Tenant {
                writes: true,
                manages: true,
            },
            Known::Operator { scopes, .. } => Who::Operator {
                scopes: scopes.clone(),
            },
        };
        Ok(Seat {
            asked,
            app,
            audience: self.shown(who, http.mode),
            api: InnerApi {
                shared: self.shared.clone(),
                http,
            },
        })
    }

    async fn call(
        &self,
        asked: &Asked,
        http: FromHttp,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<Result<Outcome, NoSuchTool>, Refused> {
        let seat = self.seat(asked, http)?;
        Ok(self.toolbox.call(&seat.tools(self), name, arguments).await)
    }
}

impl Seat<'_> {
    fn tools<'a>(&'a self, desk: &'a Desk) -> ToolDesk<'a, InnerApi> {
        let (identity, org) = match &self.api.http.known {
            Known::Tenant { identity, org } => (identity.clone(), org.as_deref()),
            Known::Operator { by, .. } => (by.clone(), None),
        };
        ToolDesk {
            api: &self.api,
            audience: &self.audience,
            caller: self.asked.caller(identity, org),
            signer: &self.app.signer,
            clock: &self.app.clock,
            result_bytes_max: desk.shared.settings.result_bytes_max,
        }
    }
}

/// Makes the requests of tools within this process, as their caller.
struct InnerApi {
    shared: Arc<Shared>,
    http: FromHttp,
}

impl Api for InnerApi {
    async fn call(&self, request: ApiRequest) -> Result<ApiAnswer, ApiFailure> {
        self.http.told.note_lines();
        let caller = self.http.caller.clone();
        let (label, path) = (request.label, request.path);
        let inner = if request.method == "POST" {
            let body = request.body.unwrap_or_default().into_bytes().into();
            InnerRequest::post(label, path, caller, body)
        } else {
            let mut query = form_urlencoded::Serializer::new(String::new());
            InnerRequest::get(
                label,
                path,
                caller,
                query.extend_pairs(request.query).finish(),
            )
        };
        let gateway = &self.shared.gateway;
        let answer = match request.at {
            Address::Gateway => carry_out(gateway, inner).await,
            Address::Operators => carry_out_for_operator(gateway, inner).await,
        };
        Ok(ApiAnswer {
            status: answer.status.as_u16(),
            retry_after_seconds: answer.retry_after_seconds,
            replayed: answer.replayed,
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }

    async fn content(&self, url: String, bytes_max: usize) -> Result<Vec<u8>, ApiFailure> {
        let failed = |rejection: Rejection| ApiFailure(rejection.message);
        let app = self.shared.gateway.app();
        let app = app.ok_or_else(|| failed(unavailable()))?;
        peek(app, &url, bytes_max)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Rejected { rejection, .. } => failed(rejection),
                Refusal::Failed(_) => ApiFailure("The content could not be read.".to_owned()),
            })
    }
}

/// The data of an answer, or why there is none.
pub(super) fn data_of(answer: &InnerAnswer) -> Result<Value, Refused> {
    let envelope = answer
        .envelope()
        .map_err(|_| of_rejection(&unavailable()))?;
    if let Some(error) = envelope.error() {
        let details = error
            .details
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        return Err(Refused {
            tag: error.tag.to_owned(),
            minor: error.minor.map(str::to_owned),
            message: error.message.to_owned(),
            details: details.unwrap_or_default(),
            request_id: Some(envelope.request_id().to_owned()),
            retry_after_seconds: answer.retry_after_seconds,
            next: None,
        });
    }
    let data = envelope
        .data
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    data.ok_or_else(|| {
        of_rejection(&Rejection::new(
            ErrorTag::InternalError,
            "An answer was empty.",
        ))
    })
}

pub(super) fn of_rejection(rejection: &Rejection) -> Refused {
    Refused {
        tag: rejection.tag.as_str().to_owned(),
        minor: rejection.minor.clone(),
        message: rejection.message.clone(),
        details: rejection.details.clone(),
        retry_after_seconds: rejection.retry_after_seconds(),
        ..Refused::default()
    }
}
