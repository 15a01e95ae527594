//! One call of a tool: its checked arguments, its org, the requests that it makes, and how it is confirmed.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::api::{self, Address, Api, ApiRequest, Good, Refused};
use super::audience::{Audience, Confirm};
use super::instructions;
use super::plan::Matter;
use super::schema::object;
use super::shape::{self, ToolResult};
use super::table::Spec;
use crate::clock::Clock;
use crate::content::sign::Signer;
use crate::domain::trace_context::trace_id_of;

/// Items of a page when the caller does not say.
pub(super) const PAGE_DEFAULT: u64 = 8;
/// Most items of a page, and most names that an argument is completed with.
pub(super) const PAGE_MAX: u64 = 32;
/// How often a page is asked for again because it does not fit.
const CUTS_MAX: usize = 4;
/// How long the URLs of a call are valid, unless the server's setting is shorter: each is a credential, and stays in a transcript.
pub(super) const URL_SECONDS: u64 = 300;
/// Longest name and version of a client that are kept, in characters.
const CLIENT_CHARS_MAX: usize = 64;

/// Everything that a call has besides its arguments.
pub struct CallEnv<'a, A> {
    /// What sends requests, with the caller's credential.
    pub api: &'a A,
    /// Whom tools are shown to.
    pub audience: &'a Audience,
    /// Who calls, and by which client.
    pub caller: Caller<'a>,
    /// What seals plans and questions.
    pub signer: &'a Signer,
    /// By what plans expire.
    pub clock: &'a Clock,
    /// Most bytes of a result.
    pub result_bytes_max: usize,
}

/// Who calls, as far as tools need it.
#[derive(Clone, Debug, Default)]
pub struct Caller<'a> {
    /// Whom plans are bound to: the principal, and no secret.
    pub identity: String,
    /// The only org of the credential; `None` where it is not known, or there are several.
    pub org: Option<&'a str>,
    /// Name and version of the client, as it says.
    pub client: Option<(&'a str, &'a str)>,
    /// The W3C trace context of the call.
    pub traceparent: Option<&'a str>,
    /// Whether the person at the client can be asked.
    pub can_ask: bool,
    /// What the person answered to the question of this very call.
    pub answer: Option<Answer<'a>>,
}

/// What a person answered.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The state of the question.
    pub state: &'a str,
    /// What the person did.
    pub action: Action,
    /// What the person filled in.
    pub content: Map<String, Value>,
}

/// What a person did with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answered it, with the form filled in.
    Accept,
    /// Said no to it.
    Decline,
    /// Went away without an answer.
    Cancel,
}

/// A question to the person at the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What the person is asked.
    pub message: String,
    /// The form to fill in.
    pub schema: Map<String, Value>,
    /// What must come back with the answer, unaltered.
    pub state: String,
}

/// How a call ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a result, be it a refusal.
    Done(ToolResult),
    /// With a question, after whose answer it is called again.
    Ask(Question),
}

impl Outcome {
    /// The end of a call that is refused, with what to do next.
    pub fn refused(refused: Refused) -> Self {
        Self::refused_by(refused, None)
    }

    /// The same for the call of a tool.
    pub(super) fn refused_by(refused: Refused, spec: Option<&Spec>) -> Self {
        let refused = instructions::advised(refused, spec);
        Self::Done(ToolResult::refused(&refused))
    }
}

/// Why a tool stops before its result.
pub(super) enum Stop {
    Refused(Box<Refused>),
    Ask(Box<Question>),
    /// Nothing was done, and the answer is this.
    Planned(Box<ToolResult>),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// What is to be confirmed.
pub(super) struct Plan {
    /// One sentence on what will happen.
    pub(super) will: String,
    /// The id that the person types to confirm.
    pub(super) typed: String,
    /// Facts for whoever confirms it.
    pub(super) facts: Value,
    /// What is there now: when it differs later, the plan counts no more.
    pub(super) world: String,
}

/// One call of a tool.
pub(super) struct Call<'a, A> {
    pub(super) env: &'a CallEnv<'a, A>,
    pub(super) spec: &'static Spec,
    pub(super) arguments: Map<String, Value>,
    /// The only org of the credential, once the service has said it.
    pub(super) only_org: OnceLock<String>,
}

impl<A: Api> Call<'_, A> {
    /// The text of an argument.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)?.as_str()
    }

    /// The number of an argument.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.arguments.get(name)?.as_u64()
    }

    /// Whether an argument is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.arguments.get(name) == Some(&Value::Bool(true))
    }

    /// The org that the call is about: the argument, or the only one of the credential.
    pub(super) async fn org(&self) -> Result<String, Stop> {
        let known = self.text("orgcode").or(self.env.caller.org);
        let known = known.or(self.only_org.get().map(String::as_str));
        if let Some(org) = known {
            return Ok(org.to_owned());
        }
        let who = self.get("/whoami", Vec::new()).await?;
        let orgs = who.data["orgs"].as_array().into_iter().flatten();
        let orgs: Vec<_> = orgs.filter_map(|org| org["orgcode"].as_str()).collect();
        match orgs[..] {
            [only] => Ok(self.only_org.get_or_init(|| only.to_owned()).clone()),
            [] => Err(Refused::here("invalid-orgcode", "Your credential is for no org.").into()),
            _ => {
                let message = format!(
                    "orgcode is missing: your credential is for {} orgs.",
                    orgs.len()
                );
                Err(Refused::here("invalid-orgcode", message)
                    .then("Choose one of the orgs that whoami shows, and give it as orgcode.")
                    .into())
            }
        }
    }

    /// The query of a record's route: org, container and id.
    pub(super) async fn place(&self) -> Result<Vec<(&'static str, String)>, Stop> {
        let mut query = vec![("orgcode", self.org().await?)];
        for name in ["container", "record_id"] {
            query.extend(self.text(name).map(|text| (name, text.to_owned())));
        }
        Ok(query)
    }

    /// Reads from a route of the gateway.
    pub(super) async fn get(
        &self,
        path: &'static str,
        query: Vec<(&'static str, String)>,
    ) -> Result<Good, Stop> {
        let mut request = self.request("GET", (Address::Gateway, path));
        request.query = query;
        Ok(self.send(request).await?)
    }

    /// Has the gateway change something, with who did it and why.
    pub(super) async fn post(
        &self,
        path: &'static str,
        body: Map<String, Value>,
    ) -> Result<Good, Refused> {
        let mut request = self.request("POST", (Address::Gateway, path));
        request.body = Some(Value::Object(self.remarked(body)).to_string());
        self.send(request).await
    }

    /// Calls an operator function that changes nothing.
    pub(super) async fn invoke(
        &self,
        path: &'static str,
        body: Map<String, Value>,
    ) -> Result<Good, Stop> {
        let mut request = self.request("POST", (Address::Operators, path));
        request.body = Some(Value::Object(body).to_string());
        Ok(self.send(request).await?)
    }

    /// Calls an operator function that is recorded, with who had it done and why.
    pub(super) async fn order(
        &self,
        path: &'static str,
        body: Map<String, Value>,
    ) -> Result<Good, Stop> {
        let mut request = self.request("POST", (Address::Operators, path));
        request.body = Some(Value::Object(self.remarked(body)).to_string());
        request.needs_code = self.spec.needs_code;
        Ok(self.send(request).await?)
    }

    fn request(&self, method: &'static str, (at, path): (Address, &'static str)) -> ApiRequest {
        ApiRequest {
            at,
            label: self.spec.label,
            method,
            path,
            query: Vec::new(),
            body: None,
            needs_code: false,
        }
    }

    async fn send(&self, request: ApiRequest) -> Result<Good, Refused> {
        let answer = self.env.api.call(request).await;
        let answer = answer.map_err(|failure| Refused::here("unreachable", failure.0))?;
        api::read(&answer)
    }

    /// A body with the reason, the client as the actor, and the trace.
    fn remarked(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        body.insert("actor".to_owned(), actor(self.env.caller.client).into());
        if let Some(reason) = self.text("reason") {
            body.insert("reason".to_owned(), reason.into());
        }
        if let Some(id) = self.env.caller.traceparent.and_then(trace_id_of) {
            body.insert("correlation_id".to_owned(), id.into());
        }
        body
    }

    /// Some arguments as the members of a body.
    pub(super) fn only(&self, names: &[&str]) -> Map<String, Value> {
        let mut members = self.arguments.clone();
        members.retain(|name, _| names.contains(&name.as_str()));
        members
    }

    /// A page of a list. When it does not fit, fewer items are asked for, so that the token continues after the last shown.
    pub(super) async fn list(
        &self,
        (at, path): (Address, &'static str),
        filters: Vec<(&'static str, String)>,
        view: impl Fn(&Value) -> Value,
    ) -> Result<ToolResult, Stop> {
        let mut limit = self.number("limit").unwrap_or(PAGE_DEFAULT);
        let mut truncated = false;
        for _ in 0..CUTS_MAX {
            let good = self.page_of((at, path), &filters, limit).await?;
            let items = good.data["items"].as_array().into_iter().flatten();
            let items: Vec<_> = items.map(&view).collect();
            let mut head = shape::head(good.request_id, good.data.get("next_token"));
            if truncated {
                head.insert("truncated".to_owned(), true.into());
            }
            let (result, count) = shape::page(&head, &items, self.env.result_bytes_max);
            if count == items.len() {
                return Ok(result);
            }
            truncated = true;
            limit = u64::try_from(count).unwrap_or(u64::MAX);
            if limit == 0 {
                break;
            }
        }
        let message = "One item of this list is larger than a result may be.";
        Err(Refused::here("too-large", message).into())
    }

    async fn page_of(
        &self,
        (at, path): (Address, &'static str),
        filters: &[(&'static str, String)],
        limit: u64,
    ) -> Result<Good, Stop> {
        let token = self.text("next_token").map(str::to_owned);
        let mut members = filters.to_vec();
        members.push(("limit", limit.to_string()));
        members.extend(token.map(|token| ("next_token", token)));
        match at {
            Address::Gateway => self.get(path, members).await,
            Address::Operators => {
                let members = members.into_iter();
                let members = members.map(|(name, text)| (name.to_owned(), Value::from(text)));
                self.invoke(path, members.collect()).await
            }
        }
    }

    /// Whether what is planned was confirmed: by the person at the client, or by the plan that the caller got. `world` is what is
    /// there now, and `typed` what the person must have typed.
    pub(super) fn is_confirmed(&self, world: &str, typed: &str) -> Result<bool, Stop> {
        let (matter, now) = (self.matter(world), self.env.clock.now());
        let caller = &self.env.caller;
        if self.asks() {
            let Some(answer) = &caller.answer else {
                return Ok(false);
            };
            matter.check_question(self.env.signer, answer.state, now)?;
            check_answer(answer, typed)?;
            return Ok(true);
        }
        if self.env.audience.confirm == Confirm::Ask {
            let message = "This needs the word of a person, and your client cannot ask one.";
            return Err(Refused::here("not-authorized", message)
                .then("A person does this with the command line g3n, or connects a client that supports elicitation.")
                .into());
        }
        match self.text("plan_id") {
            Some(token) => {
                matter.check_plan(self.env.signer, token, now)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The question to the person, or the plan for the caller.
    pub(super) fn ask_or_plan(&self, plan: Plan) -> Stop {
        let matter = self.matter(&plan.world);
        if self.asks() {
            self.question(&matter, &plan)
        } else {
            self.plan(&matter, plan)
        }
    }

    /// Whether the person at the client is asked.
    fn asks(&self) -> bool {
        match self.env.audience.confirm {
            Confirm::Plan => false,
            Confirm::Ask | Confirm::Both => self.env.caller.can_ask,
        }
    }

    fn matter(&self, world: &str) -> Matter {
        let identity = &self.env.caller.identity;
        Matter::new(self.spec.name, identity, &self.arguments, world)
    }

    fn plan(&self, matter: &Matter, plan: Plan) -> Stop {
        let (plan_id, expires_at) = matter.plan(self.env.signer, self.env.clock.now());
        let mut facts = object(plan.facts);
        facts.insert("will".to_owned(), plan.will.into());
        let value = json!({
            "changed": false,
            "plan": facts,
            "plan_id": plan_id,
            "expires_at": expires_at.to_string(),
            "next": "Show the plan to a person. If it is to be done, call again with the same arguments and plan_id.",
        });
        Stop::Planned(Box::new(ToolResult::of(value)))
    }

    fn question(&self, matter: &Matter, plan: &Plan) -> Stop {
        let state = matter.question(self.env.signer, self.env.clock.now());
        let message = format!("{} Type {} to confirm.", plan.will, plan.typed);
        let schema = json!({
            "type": "object",
            "properties": {TYPED: {"type": "string", "title": "Confirm", "description": format!("Exactly: {}", plan.typed)}},
            "required": [TYPED],
        });
        Stop::Ask(Box::new(Question {
            message,
            schema: object(schema),
            state,
        }))
    }
}

/// The field of a question's form.
const TYPED: &str = "confirm";

fn check_answer(answer: &Answer<'_>, typed: &str) -> Result<(), Stop> {
    let said = answer.content.get(TYPED).and_then(Value::as_str);
    let refused = |message: &str| {
        Refused::here("not-authorized", message)
            .then("Nothing was changed. Do not try again unless the person asks for it.")
    };
    match answer.action {
        Action::Accept if said.map(str::trim) == Some(typed) => Ok(()),
        Action::Accept => Err(refused("The person typed something else.").into()),
        Action::Decline => Err(refused("The person said no.").into()),
        Action::Cancel => Err(refused("The person did not answer.").into()),
    }
}

/// Who acts, as the client says of itself: a remark, and no proof.
pub(super) fn actor(client: Option<(&str, &str)>) -> String {
    let clean = |text: &str| -> String {
        let kept = text.chars().filter(|c| !c.is_control());
        kept.take(CLIENT_CHARS_MAX).collect()
    };
    match client {
        Some((name, version)) => format!("mcp:{}/{}", clean(name), clean(version)),
        None => "mcp".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_one_short_line_whatever_the_client_says() {
        for (client, shown) in [
            (None, "mcp".to_owned()),
            (Some(("code", "1.2")), "mcp:code/1.2".to_owned()),
            (Some(("a\nb\u{0}", "")), "mcp:ab/".to_owned()),
        ] {
            assert_eq!(actor(client), shown);
        }
        let long = "x".repeat(1_000);
        assert!(actor(Some((&long, &long))).len() < 200);
    }
}
