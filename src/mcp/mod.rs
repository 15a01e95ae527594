//! What an agent may ask of this service: tools over the routes and operator functions there are. Knows no HTTP and no
//! protocol library; what speaks MCP is elsewhere.
#![expect(
    clippy::result_large_err,
    reason = "a refusal ends a call that has waited for a request: its size costs nothing"
)]

pub mod api;
mod arguments;
pub mod audience;
pub mod call;
mod content;
mod instructions;
mod operators;
mod plan;
pub mod prompts;
mod protocol;
mod reads;
pub mod resources;
mod schema;
pub mod shape;
pub mod table;
mod uri;
mod writes;

use std::sync::OnceLock;

use serde_json::{Map, Value};

pub use api::{Address, Api, ApiAnswer, ApiFailure, ApiRequest, Refused, read_data};
pub use audience::{Audience, Confirm, Door, Mode, Surface, Who};
pub use call::{Action, Answer, CallEnv, Caller, Outcome, Question};
pub use prompts::{Prompt, PromptArgument};
pub use protocol::Service;
pub use reads::WhoAmI;
pub use resources::{Completion, ResourcePage, ResourceTemplate, ResourceText};
pub use schema::ToolboxError;
pub use shape::{Link, ToolResult};
pub use table::{Hints, Needs, Spec};
pub use uri::record_of_uri;

use call::{Call, Stop};
use table::Does;

/// One tool as clients see it.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The schema of its arguments.
    pub input_schema: Map<String, Value>,
    /// The schema of its structured answer, if it has one.
    pub output_schema: Option<Map<String, Value>>,
    spec: &'static Spec,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label)
    }
}

impl Tool {
    /// Its row in the table: what it needs and maps to.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }
}

/// There is no such tool for this caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSuchTool(String);

/// Every tool with its schemas. Made once.
#[derive(Debug)]
pub struct Toolbox {
    tools: Vec<Tool>,
}

impl Toolbox {
    /// Describes every tool, with schemas from the OpenAPI document of the gateway.
    ///
    /// # Errors
    /// [`ToolboxError`] when a tool takes a field from a route that does not have it.
    pub fn new(openapi: &Value) -> Result<Self, ToolboxError> {
        let tools = table::all().map(|spec| {
            Ok(Tool {
                input_schema: schema::input(spec, openapi)?,
                output_schema: spec.output.map(|output| schema::object(output())),
                spec,
            })
        });
        Ok(Self {
            tools: tools.collect::<Result<_, _>>()?,
        })
    }

    /// Every tool of both surfaces.
    pub fn all(&self) -> &[Tool] {
        &self.tools
    }

    /// The tools that an audience sees, in the order of the table.
    pub fn list(&self, of: &Audience) -> Vec<&Tool> {
        let seen = |tool: &&Tool| tool.spec.is_served(of) && tool.spec.is_allowed(&of.who);
        self.tools.iter().filter(seen).collect()
    }

    /// What a client tells its model about this server, at most 1.5 KiB.
    pub fn instructions(&self, of: &Audience) -> String {
        instructions::of(self, of)
    }

    /// The document of a service's tools.
    pub fn protocol(&self, service: Service) -> String {
        protocol::document(self, service)
    }

    /// Calls a tool. One that the caller's role does not show is called all the same: its route refuses.
    ///
    /// # Errors
    /// [`NoSuchTool`] when there is none of that name for this audience.
    pub async fn call<A: Api>(
        &self,
        env: &CallEnv<'_, A>,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<Outcome, NoSuchTool> {
        let tool = self.find(env.audience, name)?;
        let wrong = arguments::check(&tool.input_schema, &arguments);
        let ran = match wrong {
            Err(refused) => Err(refused.into()),
            Ok(()) => {
                let spec = tool.spec;
                let call = Call {
                    env,
                    spec,
                    arguments,
                    only_org: OnceLock::new(),
                };
                call.run().await
            }
        };
        Ok(match ran {
            Ok(result) => Outcome::Done(result),
            Err(Stop::Planned(plan)) => Outcome::Done(*plan),
            Err(Stop::Ask(question)) => Outcome::Ask(*question),
            Err(Stop::Refused(refused)) => Outcome::refused_by(*refused, Some(tool.spec)),
        })
    }

    fn find(&self, audience: &Audience, name: &str) -> Result<&Tool, NoSuchTool> {
        let surface = audience.surface();
        let mut named = self.tools.iter();
        let named = named.find(|tool| tool.spec.name == name && tool.spec.surface == surface);
        match named {
            Some(tool) if tool.spec.is_served(audience) => Ok(tool),
            Some(tool) => Err(NoSuchTool(format!(
                "Unknown tool here: {}. {}",
                tool.spec.name,
                instructions::why_absent(tool.spec, audience)
            ))),
            None => {
                let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                Err(NoSuchTool(format!(
                    "Unknown tool: {shown}. See tools/list."
                )))
            }
        }
    }
}

impl<A: Api> Call<'_, A> {
    async fn run(&self) -> Result<ToolResult, Stop> {
        match self.spec.does {
            Does::Whoami => self.whoami().await,
            Does::Containers => self.containers().await,
            Does::Records => self.records().await,
            Does::Record => self.record().await,
            Does::Versions => self.versions().await,
            Does::History => self.history().await,
            Does::Due => self.due().await,
            Does::Status => self.status().await,
            Does::Windows => self.windows().await,
            Does::Create => self.create().await,
            Does::Replace => self.replace().await,
            Does::Tag => self.tag().await,
            Does::SetTtl => self.set_ttl().await,
            Does::SetHold => self.set_hold().await,
            Does::Doom => self.doom().await,
            Does::BeginUpload => self.begin_upload().await,
            Does::CompleteUpload => self.complete_upload().await,
            Does::OperatorWindows => self.operator_windows().await,
            Does::Vacuum => self.vacuum().await,
            Does::Audit => self.audit().await,
            Does::Jobs => self.jobs().await,
            Does::Trace => self.trace().await,
            Does::Holds => self.holds().await,
            Does::Drift => self.drift().await,
            Does::ControlJob => self.control_job().await,
            Does::RepairDrift => self.repair_drift().await,
            Does::CancelVacuum => self.cancel_vacuum().await,
            Does::PlanVacuum => self.plan_vacuum().await,
            Does::ScheduleWindow => self.schedule_window().await,
            Does::UpdateWindow => self.update_window().await,
            Does::MoveWindow => self.move_window().await,
        }
    }
}
