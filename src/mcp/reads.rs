//! Tools of tenants that read.

use serde_json::{Value, json};

use super::api::{self, Address, Api, ApiRequest, Refused};
use super::audience::Who;
use super::call::{Call, PAGE_MAX, Stop};
use super::content::{BYTES_DEFAULT, BYTES_MAX};
use super::shape::{ToolResult, brief_record, brief_version, brief_window, fitted, with_id};

/// Whom a credential is for, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAmI {
    /// The public id of the principal.
    pub identity: String,
    /// What it may do.
    pub who: Who,
}

impl WhoAmI {
    /// Asks the gateway whom the credential of requests is for.
    ///
    /// # Errors
    /// [`Refused`] as `GET /whoami` refuses, such as without a credential that works.
    pub async fn of<A: Api>(api: &A) -> Result<Self, Refused> {
        let request = ApiRequest {
            at: Address::Gateway,
            label: "mcp/whoami",
            method: "GET",
            path: "/whoami",
            query: Vec::new(),
            body: None,
            needs_code: false,
        };
        let answer = api.call(request).await;
        let answer = answer.map_err(|failure| Refused::here("unreachable", failure.0))?;
        let data = api::read(&answer)?.data;
        Ok(Self {
            identity: data["user_id"].as_str().unwrap_or_default().to_owned(),
            who: Who::of_whoami(&data),
        })
    }
}

/// Most orgs that are shown of a caller.
const ORGS_MAX: usize = 32;

type Query = Vec<(&'static str, String)>;

impl<A: Api> Call<'_, A> {
    pub(super) async fn whoami(&self) -> Result<ToolResult, Stop> {
        let good = self.get("/whoami", Vec::new()).await?;
        let orgs = good.data["orgs"].as_array().cloned().unwrap_or_default();
        let mut value = json!({
            "user_id": good.data["user_id"],
            "auth_mode": good.data["auth_mode"],
            "orgs": orgs.iter().take(ORGS_MAX).collect::<Vec<_>>(),
            "mode": self.env.audience.mode.as_str(),
            "limits": {
                "page_items": PAGE_MAX,
                "result_bytes": self.env.result_bytes_max,
                "content_bytes": BYTES_MAX,
                "content_bytes_default": BYTES_DEFAULT,
            },
        });
        if orgs.len() > ORGS_MAX {
            value["more_orgs"] = true.into();
        }
        Ok(identified(value, good.request_id))
    }

    pub(super) async fn containers(&self) -> Result<ToolResult, Stop> {
        let query = vec![("orgcode", self.org().await?)];
        let name = |item: &Value| match item.as_object() {
            Some(members) if members.len() == 1 => item["container"].clone(),
            Some(_) | None => item.clone(),
        };
        self.list((Address::Gateway, "/mrs/containers"), query, name)
            .await
    }

    pub(super) async fn records(&self) -> Result<ToolResult, Stop> {
        let mut query = vec![("orgcode", self.org().await?)];
        query.extend(self.filters(&["container", "tag", "status", "prefix"]));
        let view = match self.text("view") {
            Some("full") => Value::clone,
            Some(_) | None => brief_record,
        };
        self.list((Address::Gateway, "/mrs/list"), query, view)
            .await
    }

    pub(super) async fn versions(&self) -> Result<ToolResult, Stop> {
        let mut query = self.place().await?;
        query.extend(self.doomed());
        let path = "/mrs/record/versions";
        self.list((Address::Gateway, path), query, brief_version)
            .await
    }

    pub(super) async fn history(&self) -> Result<ToolResult, Stop> {
        let mut query = self.place().await?;
        query.extend(self.doomed());
        let path = "/mrs/record/history";
        self.list((Address::Gateway, path), query, Value::clone)
            .await
    }

    pub(super) async fn due(&self) -> Result<ToolResult, Stop> {
        let mut query = vec![("orgcode", self.org().await?)];
        query.extend(self.filters(&["container", "before"]));
        self.list((Address::Gateway, "/mrs/due"), query, Value::clone)
            .await
    }

    pub(super) async fn status(&self) -> Result<ToolResult, Stop> {
        let ping = self.get("/ops/ping", Vec::new()).await?;
        let stat = self.get("/ops/stat", Vec::new()).await?;
        let mut maintenance = ping.data["maintenance"].clone();
        if let Some(updates) = maintenance.get("updates").and_then(Value::as_array)
            && let Some(latest) = updates.last().cloned()
        {
            maintenance["latest_update"] = latest;
        }
        if let Some(members) = maintenance.as_object_mut() {
            members.remove("updates");
        }
        let value = json!({
            "status": stat.data["status"],
            "maintenance": maintenance,
            "maintenance_check_failures": stat.data["maintenance_check_failures"],
        });
        Ok(identified(value, ping.request_id))
    }

    pub(super) async fn windows(&self) -> Result<ToolResult, Stop> {
        if let Some(id) = self.text("maintenance_id") {
            let query = vec![("maintenance_id", id.to_owned())];
            let good = self.get("/ops/maintenance/get", query).await?;
            let window = with_id(good.data, good.request_id);
            return Ok(fitted(window, self.env.result_bytes_max));
        }
        let path = "/ops/maintenance/list";
        let filters = self.filters(&["status"]).collect();
        self.list((Address::Gateway, path), filters, brief_window)
            .await
    }

    /// Some arguments as members of a query.
    pub(super) fn filters(
        &self,
        names: &'static [&'static str],
    ) -> impl Iterator<Item = (&'static str, String)> {
        names
            .iter()
            .filter_map(|name| Some((*name, self.text(name)?.to_owned())))
    }

    pub(super) fn doomed(&self) -> Query {
        let doomed = self.flag("include_doomed");
        doomed
            .then(|| ("include_doomed", "true".to_owned()))
            .into_iter()
            .collect()
    }
}

/// A structured answer with the id of its request.
pub(super) fn identified(value: Value, request_id: Option<String>) -> ToolResult {
    ToolResult::structured(with_id(value, request_id))
}
