//! Sessions, service accounts and their keys.

pub mod account;
pub mod key;
pub mod session;

use super::call::Call;
use super::input;
use super::reply::Refusal;
use crate::actors::Caller;
use crate::domain::Rejection;
use crate::journal::{Remarks, Source};

/// Declares a request about an org: its own fields, and those every change accepts.
macro_rules! org_request {
    ($(#[$meta:meta])* pub(crate) struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// The org; also taken from the header `x-orgcode`.
            #[schema(value_type = String, required = true, example = "DEMO")]
            orgcode: Option<String>,
            /// Who is acting, as given by the caller.
            #[schema(max_length = 256)]
            actor: Option<String>,
            /// Why, in the caller's words.
            #[schema(max_length = 256)]
            reason: Option<String>,
            /// Why, as a code of the caller's.
            #[schema(max_length = 256)]
            reason_code: Option<String>,
            /// The caller's correlation id.
            #[schema(max_length = 256)]
            correlation_id: Option<String>,
            $($fields)*
        }

        impl $name {
            /// The org, once the caller was admitted to it.
            fn org(
                &self,
                app: &crate::http::state::AppState,
                call: &mut crate::http::call::Call<'_>,
            ) -> Result<crate::domain::OrgCode, crate::http::reply::Refusal> {
                let org = crate::http::input::org(call, self.orgcode.as_deref())?;
                call.note_org(&org);
                call.admit((&app.store, &app.rate_limits), &org)?;
                Ok(org)
            }

            /// The caller, with its remarks checked and noted.
            fn caller(
                &self,
                call: &mut crate::http::call::Call<'_>,
            ) -> Result<crate::actors::Caller, crate::http::reply::Refusal> {
                crate::http::usm::caller(call, crate::journal::Remarks {
                    actor: self.actor.clone(),
                    reason: self.reason.clone(),
                    reason_code: self.reason_code.clone(),
                    correlation_id: self.correlation_id.clone(),
                })
            }
        }
    };
}
pub(crate) use org_request;

/// The caller, with its remarks checked and noted.
pub(crate) fn caller(call: &mut Call<'_>, remarks: Remarks) -> Result<Caller, Refusal> {
    let remarks = input::remarks(remarks)?;
    call.note_remarks(&remarks);
    Ok(Caller {
        by: call.caller()?.user_id.clone(),
        request_id: call.trace.request_id.clone(),
        source: Source::Gateway,
        remarks,
        idempotency: None,
    })
}

/// A field that must be there and not be empty.
pub(crate) fn required<'a>(field: Option<&'a str>, name: &str) -> Result<&'a str, Rejection> {
    let missing = || Rejection::field(name, format!("{name} is missing."));
    field.filter(|text| !text.is_empty()).ok_or_else(missing)
}
