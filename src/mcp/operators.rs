//! Tools of operators: functions of the operators' address.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::api::{Address, Api};
use super::call::{Call, Plan, Stop};
use super::content::NOTES_BYTES;
use super::shape::{self, ToolResult, brief_window, fitted, with_id};
use crate::domain::vacuum::CONFIRMATION_PHRASE;

/// Items of one page of a walk through a container, when the caller does not say.
pub(super) const ITEMS_DEFAULT: u64 = 100;
/// How often a dry run is looked at, and how long after each other, before the caller is told to look later.
const LOOKS_MAX: usize = 64;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The function that compares records with what is stored, and repairs what it finds.
const RECONCILE: &str = "/invoke/mrs_reconcile";

impl<A: Api> Call<'_, A> {
    pub(super) async fn operator_windows(&self) -> Result<ToolResult, Stop> {
        if self.text("maintenance_id").is_some() {
            let body = self.only(&["maintenance_id"]);
            return self.shown("/invoke/ops_maintenance_get", body).await;
        }
        let path = (Address::Operators, "/invoke/ops_maintenance_list");
        let filters = self.filters(&["status"]).collect();
        self.list(path, filters, brief_window).await
    }

    pub(super) async fn vacuum(&self) -> Result<ToolResult, Stop> {
        let body = self.only(&["vacuum_id", "orgcode"]);
        self.shown("/invoke/ops_vacuum_status", body).await
    }

    pub(super) async fn audit(&self) -> Result<ToolResult, Stop> {
        let names = &["maintenance_id", "vacuum_id", "subject", "orgcode", "since"];
        let path = (Address::Operators, "/invoke/ops_audit");
        self.list(path, self.filters(names).collect(), Value::clone)
            .await
    }

    pub(super) async fn jobs(&self) -> Result<ToolResult, Stop> {
        if self.text("job").is_some() {
            return self.shown("/invoke/jobs_show", self.only(&["job"])).await;
        }
        self.whole_list("/invoke/jobs_list", Map::new()).await
    }

    pub(super) async fn trace(&self) -> Result<ToolResult, Stop> {
        let body = self.only(&["request_id", "from", "until"]);
        self.whole_list("/invoke/ops_trace", body).await
    }

    pub(super) async fn holds(&self) -> Result<ToolResult, Stop> {
        let body = self.only(&["orgcode", "container"]);
        self.whole_list("/invoke/mrs_hold_list", body).await
    }

    pub(super) async fn drift(&self) -> Result<ToolResult, Stop> {
        Ok(ToolResult::of(self.drift_page().await?.0))
    }

    pub(super) async fn repair_drift(&self) -> Result<ToolResult, Stop> {
        let (report, items) = self.drift_page().await?;
        let found = report["drift"].as_array().map_or(0, Vec::len);
        if found == 0 {
            let value = json!({"changed": false, "report": report, "next": "There is nothing to repair on this page."});
            return Ok(ToolResult::of(value));
        }
        let world = hex::encode(Sha256::digest(report["drift"].to_string()));
        let container = self.text("container").unwrap_or_default();
        if !self.is_confirmed(&world, container)? {
            return Err(self.ask_or_plan(Plan {
                will: format!(
                    "Repairs {found} differences in the container {container} of {}.",
                    self.text("orgcode").unwrap_or_default()
                ),
                typed: container.to_owned(),
                facts: report,
                world,
            }));
        }
        // What was shown, and no more: the report may be of fewer items than were asked for.
        self.ordered(RECONCILE, self.comparison("repair", items))
            .await
    }

    /// One page of a comparison, with how many items it is of. When it does not leave room in a result for what a plan adds,
    /// a smaller one is asked for.
    async fn drift_page(&self) -> Result<(Value, u64), Stop> {
        let room = self.env.result_bytes_max.saturating_sub(NOTES_BYTES);
        let mut items = self.number("max_items").unwrap_or(ITEMS_DEFAULT);
        loop {
            let body = self.comparison("report-only", items);
            let good = self.invoke(RECONCILE, body).await?;
            let report = with_id(good.data, good.request_id);
            if items == 1 || ToolResult::of(report.clone()).bytes() <= room {
                return Ok((report, items));
            }
            items /= 2;
        }
    }

    fn comparison(&self, mode: &str, items: u64) -> Map<String, Value> {
        let mut body = self.only(&["orgcode", "container", "next_token"]);
        body.insert("mode".to_owned(), mode.into());
        body.insert("max_items".to_owned(), items.into());
        body
    }

    pub(super) async fn control_job(&self) -> Result<ToolResult, Stop> {
        let path = match self.text("action") {
            Some("run") => "/invoke/jobs_run",
            Some("pause") => "/invoke/jobs_pause",
            Some(_) | None => "/invoke/jobs_resume",
        };
        self.ordered(path, self.only(&["job"])).await
    }

    pub(super) async fn cancel_vacuum(&self) -> Result<ToolResult, Stop> {
        self.ordered("/invoke/ops_vacuum_cancel", self.only(&["vacuum_id"]))
            .await
    }

    pub(super) async fn plan_vacuum(&self) -> Result<ToolResult, Stop> {
        let mut body = self.only(&["orgcode"]);
        body.insert("dry_run".to_owned(), true.into());
        let org = self.text("orgcode").map(str::to_owned);
        let path = match org {
            Some(_) => "/invoke/ops_vacuum_org",
            None => {
                body.insert("confirmation_phrase".to_owned(), CONFIRMATION_PHRASE.into());
                "/invoke/ops_vacuum_all"
            }
        };
        let ordered = self.order(path, body).await?;
        let vacuum = self.counted(ordered.data).await?;
        let plan = vacuum["plan_id"].as_str();
        let plan_id = plan.unwrap_or("PLAN_ID");
        let command = match org {
            Some(org) => {
                format!("g3n ops vacuum-org --orgcode {org} --reason REASON --plan-id {plan_id}")
            }
            None => format!(
                "g3n ops vacuum-all --confirmation-phrase \"{CONFIRMATION_PHRASE}\" --reason REASON --plan-id {plan_id}"
            ),
        };
        let next = match plan {
            Some(_) => {
                "No tool erases. Show the numbers and the command to a person, who runs it after reading them."
            }
            None => {
                "It is still being counted: vacuum_status with this vacuum_id has the numbers and the plan_id for the command. No tool erases; that is for a person."
            }
        };
        let value = json!({"vacuum": vacuum, "for_a_person": command, "next": next});
        Ok(ToolResult::of(with_id(value, ordered.request_id)))
    }

    /// A dry run once it has counted, or as far as it is after some looks.
    async fn counted(&self, mut vacuum: Value) -> Result<Value, Stop> {
        for _ in 0..LOOKS_MAX {
            if vacuum.get("plan_id").is_some_and(Value::is_string) {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let mut body = Map::new();
            body.insert("vacuum_id".to_owned(), vacuum["vacuum_id"].clone());
            vacuum = self.invoke("/invoke/ops_vacuum_status", body).await?.data;
        }
        Ok(vacuum)
    }

    pub(super) async fn schedule_window(&self) -> Result<ToolResult, Stop> {
        let mut body = self.only(&["description", "start"]);
        self.insert_duration(&mut body);
        self.ordered("/invoke/ops_maintenance_schedule", body).await
    }

    pub(super) async fn update_window(&self) -> Result<ToolResult, Stop> {
        let mut body = self.only(&["maintenance_id", "text", "description"]);
        self.insert_duration(&mut body);
        self.ordered("/invoke/ops_maintenance_update", body).await
    }

    pub(super) async fn move_window(&self) -> Result<ToolResult, Stop> {
        let which = self.only(&["maintenance_id"]);
        let window = self
            .invoke("/invoke/ops_maintenance_get", which.clone())
            .await?;
        let id = self.text("maintenance_id").unwrap_or_default();
        let (action, path) = match self.text("action") {
            Some("start") => ("Starts", "/invoke/ops_maintenance_start"),
            Some("end") => ("Ends", "/invoke/ops_maintenance_end"),
            Some(_) | None => ("Cancels", "/invoke/ops_maintenance_cancel"),
        };
        let world = format!("{} {}", window.data["status"], window.data["revision"]);
        if !self.is_confirmed(&world, id)? {
            let what = match action {
                "Starts" => ", which keeps every tenant out until it is ended",
                "Ends" => ", and lets tenants in",
                _ => "",
            };
            return Err(self.ask_or_plan(Plan {
                will: format!("{action} the maintenance window {id}{what}."),
                typed: id.to_owned(),
                facts: json!({"window": brief_window(&window.data)}),
                world,
            }));
        }
        let mut body = which;
        if action == "Ends" {
            body.extend(self.only(&["end_message"]));
        }
        self.ordered(path, body).await
    }

    fn insert_duration(&self, body: &mut Map<String, Value>) {
        if let Some(seconds) = self.number("duration_seconds") {
            body.insert("duration".to_owned(), seconds.into());
        }
    }

    async fn shown(
        &self,
        path: &'static str,
        body: Map<String, Value>,
    ) -> Result<ToolResult, Stop> {
        let good = self.invoke(path, body).await?;
        let value = with_id(good.data, good.request_id);
        Ok(fitted(value, self.env.result_bytes_max))
    }

    async fn ordered(
        &self,
        path: &'static str,
        body: Map<String, Value>,
    ) -> Result<ToolResult, Stop> {
        let good = self.order(path, body).await?;
        let value = with_id(good.data, good.request_id);
        Ok(fitted(value, self.env.result_bytes_max))
    }

    /// A list without pages, of which as much is shown as fits.
    async fn whole_list(
        &self,
        path: &'static str,
        body: Map<String, Value>,
    ) -> Result<ToolResult, Stop> {
        let good = self.invoke(path, body).await?;
        let mut head = match good.data {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        let items = match head.remove("items") {
            Some(Value::Array(items)) => items,
            Some(_) | None => Vec::new(),
        };
        head.extend(shape::head(good.request_id, None));
        let most = self.env.result_bytes_max;
        let (result, count) = shape::page(&head, &items, most);
        if count == items.len() {
            return Ok(result);
        }
        head.insert("truncated".to_owned(), true.into());
        head.insert("total".to_owned(), items.len().into());
        Ok(shape::page(&head, &items, most).0)
    }
}
