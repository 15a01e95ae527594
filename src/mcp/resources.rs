//! Records and containers as resources, for clients that let a person choose what a model reads.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::Toolbox;
use super::api::{Api, Refused};
use super::audience::Surface;
use super::call::{Call, CallEnv, PAGE_MAX, Stop};
use super::shape::{self, Link, brief_record};
use super::table::{self, Spec};
use super::uri::{self, Named, TEMPLATE};

/// The form of a record's uri.
#[derive(Clone, Copy, Debug)]
pub struct ResourceTemplate {
    /// The template, by RFC 6570.
    pub uri_template: &'static str,
    /// A short name for programs.
    pub name: &'static str,
    /// A name for people.
    pub title: &'static str,
    /// What there is to read.
    pub description: &'static str,
}

/// One page of resources.
#[derive(Clone, Debug)]
pub struct ResourcePage {
    /// The resources of this page.
    pub items: Vec<Link>,
    /// The cursor of the next page.
    pub next_cursor: Option<String>,
}

/// The text of a resource.
#[derive(Clone, Debug)]
pub struct ResourceText {
    /// The uri that was read.
    pub uri: String,
    /// The media type of the text.
    pub mime_type: String,
    /// The text, as far as it fits.
    pub text: String,
}

/// The values that an argument may have.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// The first of those values.
    pub values: Vec<String>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Toolbox {
    /// The form of a record's uri.
    pub fn resource_template(&self) -> ResourceTemplate {
        ResourceTemplate {
            uri_template: TEMPLATE,
            name: "record",
            title: "A record",
            description: "The content of a record, or of one of its versions; for what is not text, its facts.",
        }
    }

    /// The containers of the caller's org, one page.
    ///
    /// # Errors
    /// [`Refused`] as the route's refusal, and for callers of several orgs.
    pub async fn resources<A: Api>(
        &self,
        env: &CallEnv<'_, A>,
        cursor: Option<&str>,
    ) -> Result<ResourcePage, Refused> {
        if env.audience.surface() == Surface::Operator {
            return Ok(ResourcePage {
                items: Vec::new(),
                next_cursor: None,
            });
        }
        let call = call(env, "containers_list", &[])?;
        let org = call.org().await.map_err(refused)?;
        let mut query = vec![("orgcode", org.clone()), ("limit", PAGE_MAX.to_string())];
        query.extend(cursor.map(|cursor| ("next_token", cursor.to_owned())));
        let good = call.get("/mrs/containers", query).await.map_err(refused)?;
        let items = good.data["items"].as_array().into_iter().flatten();
        let names = items.filter_map(|item| item["container"].as_str());
        Ok(ResourcePage {
            items: names.map(|name| container(&org, name)).collect(),
            next_cursor: good.data["next_token"].as_str().map(str::to_owned),
        })
    }

    /// The text of a record or of a container.
    ///
    /// # Errors
    /// [`Refused`] as `not-found` for every uri of nothing, and as the route's refusal.
    pub async fn read_resource<A: Api>(
        &self,
        env: &CallEnv<'_, A>,
        uri: &str,
    ) -> Result<Vec<ResourceText>, Refused> {
        let named = match env.audience.surface() {
            Surface::Tenant => uri::parse(uri),
            Surface::Operator => None,
        };
        let Some(named) = named else {
            return Err(Refused::here(
                "not-found",
                crate::domain::rejection::NOT_FOUND,
            ));
        };
        match named {
            Named::Container(org, name) => read_container(env, uri, &org, &name).await,
            Named::Record(org, container, record_id, version) => {
                let mut arguments = vec![
                    ("orgcode", org.into()),
                    ("container", container.into()),
                    ("record_id", record_id.into()),
                ];
                arguments.extend(version.map(|version| ("version", version.into())));
                read_record(env, uri, &arguments).await
            }
        }
    }

    /// The containers, or the ids of records, that begin with a text. Nothing where the caller may not read.
    pub async fn complete<A: Api>(
        &self,
        env: &CallEnv<'_, A>,
        argument: &str,
        value: &str,
        context: &Map<String, Value>,
    ) -> Completion {
        if env.audience.surface() == Surface::Operator {
            return Completion::default();
        }
        let orgcode = context.get("orgcode").cloned();
        let given: Vec<_> = orgcode.into_iter().map(|org| ("orgcode", org)).collect();
        let completed = match argument {
            "container" => containers(env, value, &given).await,
            "record_id" => records(env, value, &given, context).await,
            "orgcode" => orgs(env, value).await,
            _ => Ok(Completion::default()),
        };
        completed.unwrap_or_default()
    }
}

fn container(org: &str, name: &str) -> Link {
    Link {
        uri: uri::of_container(org, name),
        name: name.to_owned(),
        description: Some(format!(
            "The first records of the container {name} in {org}."
        )),
        mime_type: Some("application/json".to_owned()),
        size: None,
    }
}

/// A call in the name of a tool that reads the same.
fn call<'a, A>(
    env: &'a CallEnv<'a, A>,
    tool: &str,
    arguments: &[(&str, Value)],
) -> Result<Call<'a, A>, Refused> {
    let mut tools = table::all();
    let spec: Option<&'static Spec> =
        tools.find(|spec| spec.name == tool && spec.surface == Surface::Tenant);
    let arguments = arguments.iter();
    let arguments = arguments.map(|(name, value)| ((*name).to_owned(), value.clone()));
    Ok(Call {
        env,
        spec: spec.ok_or_else(|| Refused::here("not-found", "There is no such tool."))?,
        arguments: arguments.collect(),
        only_org: OnceLock::new(),
    })
}

fn refused(stop: Stop) -> Refused {
    match stop {
        Stop::Refused(refused) => *refused,
        Stop::Ask(_) | Stop::Planned(_) => {
            Refused::here("internal-error", "A read asked for confirmation.")
        }
    }
}

async fn read_record<A: Api>(
    env: &CallEnv<'_, A>,
    uri: &str,
    arguments: &[(&str, Value)],
) -> Result<Vec<ResourceText>, Refused> {
    let call = call(env, "record_get", arguments)?;
    let whole = call.whole().await.map_err(refused)?;
    let mut texts = Vec::new();
    let note = match &whole.text {
        Some(_) if !whole.is_cut => None,
        Some(text) => Some(
            json!({"content_truncated": true, "content_bytes_shown": text.len(), "content_size": whole.size}),
        ),
        None => Some(
            json!({"content_type": whole.mime_type, "content_size": whole.size, "content": "not text; download it with g3n mrs get"}),
        ),
    };
    texts.extend(whole.text.map(|text| ResourceText {
        uri: uri.to_owned(),
        mime_type: whole.mime_type.clone(),
        text,
    }));
    texts.extend(note.map(|note| ResourceText {
        uri: uri.to_owned(),
        mime_type: "application/json".to_owned(),
        text: note.to_string(),
    }));
    Ok(texts)
}

async fn read_container<A: Api>(
    env: &CallEnv<'_, A>,
    uri: &str,
    org: &str,
    name: &str,
) -> Result<Vec<ResourceText>, Refused> {
    let call = call(env, "records_list", &[])?;
    let query = vec![
        ("orgcode", org.to_owned()),
        ("container", name.to_owned()),
        ("limit", PAGE_MAX.to_string()),
    ];
    let good = call.get("/mrs/list", query).await.map_err(refused)?;
    let items = good.data["items"].as_array().into_iter().flatten();
    let items: Vec<_> = items.map(brief_record).collect();
    let (result, _) = shape::page(
        &shape::head(good.request_id, None),
        &items,
        env.result_bytes_max,
    );
    let text = result.texts.join("\n");
    Ok(vec![ResourceText {
        uri: uri.to_owned(),
        mime_type: "application/json".to_owned(),
        text,
    }])
}

async fn containers<A: Api>(
    env: &CallEnv<'_, A>,
    value: &str,
    given: &[(&str, Value)],
) -> Result<Completion, Stop> {
    let call = call(env, "containers_list", given)?;
    let query = vec![("orgcode", call.org().await?), ("limit", "256".to_owned())];
    let (names, has_more) = call.names("/mrs/containers", query, "container").await?;
    let values = names.into_iter().filter(|name| name.starts_with(value));
    Ok(Completion {
        values: values.take(PAGE_MAX as usize).collect(),
        has_more,
    })
}

async fn records<A: Api>(
    env: &CallEnv<'_, A>,
    value: &str,
    given: &[(&str, Value)],
    context: &Map<String, Value>,
) -> Result<Completion, Stop> {
    let call = call(env, "records_list", given)?;
    let mut query = vec![
        ("orgcode", call.org().await?),
        ("prefix", value.to_owned()),
        ("limit", PAGE_MAX.to_string()),
    ];
    let container = context.get("container").and_then(Value::as_str);
    query.extend(container.map(|name| ("container", name.to_owned())));
    let (values, has_more) = call.names("/mrs/list", query, "record_id").await?;
    Ok(Completion { values, has_more })
}

async fn orgs<A: Api>(env: &CallEnv<'_, A>, value: &str) -> Result<Completion, Stop> {
    let call = call(env, "whoami", &[])?;
    let who = call.get("/whoami", Vec::new()).await?;
    let orgs = who.data["orgs"].as_array().into_iter().flatten();
    let orgs = orgs.filter_map(|org| org["orgcode"].as_str());
    let found: Vec<_> = orgs
        .filter(|org| org.starts_with(value))
        .map(str::to_owned)
        .collect();
    Ok(Completion {
        has_more: found.len() > PAGE_MAX as usize,
        values: found.into_iter().take(PAGE_MAX as usize).collect(),
    })
}
