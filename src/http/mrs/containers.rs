//! `GET /mrs/containers`: the containers of an org, one page at a time.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::Subject;
use crate::domain::{ContainerName, ErrorTag};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::records;

/// Whose containers, and how many at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContainersQuery {
    /// Code of the org that has the containers.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Containers per page: 8 by default, 1 to 256.
    #[param(value_type = Option<String>)]
    limit: Option<LimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// A container that has a record, be it a doomed one.
#[derive(Serialize, ToSchema)]
pub struct ContainerView {
    #[schema(value_type = String)]
    container: ContainerName,
}

/// One page of containers.
#[derive(Serialize, ToSchema)]
pub struct ContainersAnswer {
    /// The containers in the order of their names.
    #[schema(inline)]
    items: Vec<ContainerView>,
    /// How many containers a page has at most.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) const CONTAINERS: Route = Route::get(
    ("mrs", "/mrs/containers"),
    Access::Org(Right::Read),
    inside!(containers),
    Described::of::<__path_containers>(),
)
.errors(&[], &[ErrorTag::InvalidNextToken]);

/// List the containers of an org.
#[utoipa::path(get, path = CONTAINERS.path, params(ContainersQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<ContainersAnswer>)))]
pub async fn containers(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: ContainersQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: None,
        container: None,
        record_id: None,
    };
    let org = subject.admit(app, call)?.org;
    let limit = query.limit.unwrap_or_default().0;
    let digest: [u8; 32] = Sha256::digest(format!("containers {}", org.as_str())).into();
    let from = input::cursor(&app.signer, query.next_token.as_deref(), digest)?;
    // After the last name of the page before; all names come after the empty one.
    let mut last = String::from_utf8(from.unwrap_or_default()).unwrap_or_default();
    let mut items = Vec::new();
    let mut next = None;
    while let Some((of, name)) = records::next_container(&app.store, Some((org.as_str(), &last)))? {
        if of != org {
            break;
        }
        if items.len() == limit {
            next = Some(last.into_bytes());
            break;
        }
        last = name.as_str().to_owned();
        items.push(ContainerView { container: name });
    }
    Reply::of(&ContainersAnswer {
        items,
        limit,
        next_token: next.map(|place| input::next_token(&app.signer, digest, place)),
    })
}
