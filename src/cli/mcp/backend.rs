//! What works on an agent's requests in this process: the tools, over the HTTP client.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::api::ClientApi;
use crate::clock::{Clock, random_bytes};
use crate::content::sign::Signer;
use crate::domain::operator_token::{OPERATOR, TokenScope};
use crate::http::mcp::handler::{Asked, Backend};
use crate::mcp::{
    Audience, CallEnv, Completion, Confirm, Door, Mode, NoSuchTool, Outcome, Refused, ResourcePage,
    ResourceText, Surface, Toolbox, Who, WhoAmI,
};

/// Most bytes of a result.
const RESULT_BYTES_MAX: usize = 32 * 1024;

/// How an agent is served.
pub(super) struct Settings {
    pub(super) surface: Surface,
    pub(super) door: Door,
    pub(super) mode: Mode,
    pub(super) confirm: Confirm,
    pub(super) urls: bool,
    /// The org of calls that name none.
    pub(super) org: Option<String>,
}

/// The tools in this process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Local(Arc<Inner>);

struct Inner {
    toolbox: Arc<Toolbox>,
    api: ClientApi,
    settings: Settings,
    /// Of this process alone: a plan ends with it.
    signer: Signer,
    clock: Clock,
    /// Who the service takes the credential for, once it has said so.
    known: Mutex<Option<WhoAmI>>,
}

impl Local {
    pub(super) fn new(toolbox: Arc<Toolbox>, api: ClientApi, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            toolbox,
            api,
            settings,
            signer: Signer::new(random_bytes()),
            clock: Clock::system(),
            known: Mutex::default(),
        }))
    }

    /// Asks the service who the credential is for.
    async fn ask(&self) -> Result<WhoAmI, Refused> {
        let known = match self.0.settings.surface {
            Surface::Tenant => WhoAmI::of(&self.0.api).await?,
            // What the token may do is for each function to say.
            Surface::Operator => WhoAmI {
                identity: OPERATOR.to_owned(),
                who: Who::Operator {
                    scopes: vec![TokenScope::All],
                },
            },
        };
        *self.0.known.lock() = Some(known.clone());
        Ok(known)
    }

    /// What the service said last, or says now. Nothing is done for somebody unknown: what is bound to a caller, such as a plan,
    /// would be bound to nobody.
    async fn known(&self) -> Result<WhoAmI, Refused> {
        let known = self.0.known.lock().clone();
        match known {
            Some(known) => Ok(known),
            None => self.ask().await,
        }
    }

    fn audience(&self, who: Who) -> Audience {
        let settings = &self.0.settings;
        Audience {
            who,
            door: settings.door,
            mode: settings.mode,
            urls: settings.urls,
            confirm: settings.confirm,
        }
    }

    fn env<'a>(
        &'a self,
        audience: &'a Audience,
        asked: &'a Asked,
        identity: String,
    ) -> CallEnv<'a, ClientApi> {
        CallEnv {
            api: &self.0.api,
            audience,
            caller: asked.caller(identity, self.0.settings.org.as_deref()),
            signer: &self.0.signer,
            clock: &self.0.clock,
            result_bytes_max: RESULT_BYTES_MAX,
        }
    }
}

impl Backend for Local {
    const STATEFUL: bool = true;

    fn surface(&self) -> Surface {
        self.0.settings.surface
    }

    async fn audience(&self, _: &Asked) -> Result<Audience, Refused> {
        Ok(self.audience(self.ask().await?.who))
    }

    async fn call(
        &self,
        asked: &Asked,
        name: String,
        arguments: Map<String, Value>,
    ) -> Result<Result<Outcome, NoSuchTool>, Refused> {
        let known = match self.known().await {
            Ok(known) => known,
            Err(refused) => return Ok(Ok(Outcome::refused(refused))),
        };
        let audience = self.audience(known.who);
        let env = self.env(&audience, asked, known.identity);
        Ok(self.0.toolbox.call(&env, &name, arguments).await)
    }

    async fn resources(
        &self,
        asked: &Asked,
        cursor: Option<String>,
    ) -> Result<ResourcePage, Refused> {
        let known = self.known().await?;
        let audience = self.audience(known.who);
        let env = self.env(&audience, asked, known.identity);
        self.0.toolbox.resources(&env, cursor.as_deref()).await
    }

    async fn read_resource(
        &self,
        asked: &Asked,
        uri: String,
    ) -> Result<Vec<ResourceText>, Refused> {
        let known = self.known().await?;
        let audience = self.audience(known.who);
        let env = self.env(&audience, asked, known.identity);
        self.0.toolbox.read_resource(&env, &uri).await
    }

    async fn complete(
        &self,
        asked: &Asked,
        (argument, value): (String, String),
        context: Map<String, Value>,
    ) -> Result<Completion, Refused> {
        let known = self.known().await?;
        let audience = self.audience(known.who);
        let env = self.env(&audience, asked, known.identity);
        Ok(self
            .0
            .toolbox
            .complete(&env, &argument, &value, &context)
            .await)
    }
}
