//! Where the tools' work is done: on the thread that serves, because handlers of routes stay on theirs, while the library's
//! may move. A request's work comes here by a channel, and its answer goes back the same way.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::backend::{Asked, Backend, Changes, Seen};
use super::from_http::{FromHttp, KnownCaller};
use crate::domain::Rejection;
use crate::http::inner::{InnerAnswer, InnerRequest, carry_out, carry_out_for_operator};
use crate::http::presigned::peek::peek;
use crate::http::reply::{Refusal, unavailable};
use crate::http::state::AppState;
use crate::mcp::{
    Address, Api, ApiAnswer, ApiFailure, ApiRequest, Audience, CallEnv, Completion, Door, Mode,
    NoSuchTool, Outcome, Refused, ResourcePage, ResourceText, Surface, Toolbox, Who, read_data,
};

/// Work for the thread that serves.
type Job = Box<dyn FnOnce(Rc<Worker>) -> LocalBoxFuture<'static, ()> + Send>;

/// Has work done on one thread that serves.
#[derive(Clone)]
pub(super) struct HttpBackend {
    jobs: mpsc::UnboundedSender<Job>,
    surface: Surface,
}

/// Starts to work on the calling thread. What waits for it is bounded by the requests that are let in.
pub(super) fn start(shared: Arc<Shared>, toolbox: Arc<Toolbox>, surface: Surface) -> HttpBackend {
    let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
    let worker = Rc::new(Worker { shared, toolbox });
    actix_web::rt::spawn(async move {
        while let Some(job) = waiting.recv().await {
            actix_web::rt::spawn(job(worker.clone()));
        }
    });
    HttpBackend { jobs, surface }
}

impl HttpBackend {
    /// Has something done, unless nobody waits for it any more: a client that disconnects ends the work as it does on the routes.
    async fn on_worker<T: Send + 'static>(
        &self,
        asked: &Asked,
        work: impl for<'a> FnOnce(
            &'a Worker,
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
        let job: Job = Box::new(move |worker| {
            Box::pin(async move {
                let working = work(&worker, &asked, http);
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
        self.on_worker(asked, move |worker, asked, http| {
            Box::pin(worker.watchable(asked, http, uris))
        })
        .await
    }

    async fn changes(
        &self,
        asked: &Asked,
        uris: Vec<String>,
        since: Seen,
    ) -> Result<Changes, Refused> {
        self.on_worker(asked, move |worker, asked, http| {
            Box::pin(worker.changes(asked, http, uris, since))
        })
        .await
    }

    fn surface(&self) -> Surface {
        self.surface
    }

    fn note(&self, asked: &Asked) {
        if let Some(http) = &asked.http {
            http.told.asks(asked.label);
        }
    }

    fn audience(&self, asked: &Asked) -> impl Future<Output = Result<Audience, Refused>> + Send {
        self.on_worker(asked, |worker, asked, http| {
            Box::pin(worker.audience(asked, http))
        })
    }

    async fn call(
        &self,
        asked: &Asked,
        name: String,
        arguments: Map<String, Value>,
    ) -> Result<Result<Outcome, NoSuchTool>, Refused> {
        self.on_worker(asked, move |worker, asked, http| {
            Box::pin(async move {
                let called = worker.call(asked, http.clone(), &name, arguments).await;
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
        self.on_worker(asked, move |worker, asked, http| {
            Box::pin(async move {
                let request = worker.tool_request(asked, http)?;
                let toolbox = &worker.toolbox;
                toolbox
                    .resources(&request.env(worker), cursor.as_deref())
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
        self.on_worker(asked, move |worker, asked, http| {
            Box::pin(async move {
                let request = worker.tool_request(asked, http)?;
                worker
                    .toolbox
                    .read_resource(&request.env(worker), &uri)
                    .await
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
        self.on_worker(asked, move |worker, asked, http| {
            Box::pin(async move {
                let request = worker.tool_request(asked, http)?;
                let toolbox = &worker.toolbox;
                Ok(toolbox
                    .complete(&request.env(worker), &argument, &value, &context)
                    .await)
            })
        })
        .await
    }
}

/// What one thread works with.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    toolbox: Arc<Toolbox>,
}

/// One request of a client, with what its tools need.
struct ToolRequest<'a> {
    asked: &'a Asked,
    app: Arc<AppState>,
    api: InnerApi,
    audience: Audience,
}

impl Worker {
    async fn audience(&self, asked: &Asked, http: FromHttp) -> Result<Audience, Refused> {
        let who = match &http.known {
            KnownCaller::Operator { scopes, .. } => Who::Operator {
                scopes: scopes.clone(),
            },
            KnownCaller::Tenant { .. } => {
                http.told.note_lines();
                let caller = http.caller.clone();
                let request = InnerRequest::get(asked.label, "/whoami", caller, String::new());
                let answer = carry_out(&self.shared.gateway, request).await;
                Who::of_whoami(&data_of(answer)?)
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

    fn tool_request<'a>(
        &self,
        asked: &'a Asked,
        http: FromHttp,
    ) -> Result<ToolRequest<'a>, Refused> {
        let app = self.shared.gateway.app();
        let app = app.ok_or_else(|| of_rejection(&unavailable()))?.clone();
        // A tool that a role does not show is called all the same: its route refuses.
        let who = match &http.known {
            KnownCaller::Tenant { .. } => Who::Tenant {
                writes: true,
                manages: true,
            },
            KnownCaller::Operator { scopes, .. } => Who::Operator {
                scopes: scopes.clone(),
            },
        };
        Ok(ToolRequest {
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
        let request = self.tool_request(asked, http)?;
        Ok(self.toolbox.call(&request.env(self), name, arguments).await)
    }
}

impl ToolRequest<'_> {
    fn env<'a>(&'a self, worker: &'a Worker) -> CallEnv<'a, InnerApi> {
        let (identity, org) = match &self.api.http.known {
            KnownCaller::Tenant { identity, org } => (identity.clone(), org.as_deref()),
            KnownCaller::Operator { by, .. } => (by.clone(), None),
        };
        CallEnv {
            api: &self.api,
            audience: &self.audience,
            caller: self.asked.caller(identity, org),
            signer: &self.app.signer,
            clock: &self.app.clock,
            result_bytes_max: worker.shared.settings.result_bytes_max,
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
        Ok(api_answer(answer))
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
pub(super) fn data_of(answer: InnerAnswer) -> Result<Value, Refused> {
    read_data(&api_answer(answer))
}

fn api_answer(answer: InnerAnswer) -> ApiAnswer {
    ApiAnswer {
        status: answer.status.as_u16(),
        retry_after_seconds: answer.retry_after_seconds,
        replayed: answer.replayed,
        text: String::from_utf8_lossy(&answer.body).into_owned(),
    }
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
