//! What changed of the records that clients listen to.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;

use super::backend::{Asked, Changes, Seen};
use super::from_http::FromHttp;
use super::worker::{Worker, data_of, of_rejection};
use crate::domain::OrgCode;
use crate::domain::record::RecordKey;
use crate::http::inner::{InnerAnswer, InnerRequest, carry_out};
use crate::http::reply::unavailable;
use crate::mcp::{self, Refused};
use crate::projections::{RecordName, records};

/// The route that shows whether an org is open to a caller, and the one that shows whether a record is.
const ORG: &str = "/mrs/containers";
const RECORD: &str = "/mrs/record/meta";

impl Worker {
    /// Those of some records that are of orgs which admit the caller. The others are never looked at: what a look leads to
    /// counts for the caller's limits, which would show when they change.
    pub(super) async fn watchable(
        &self,
        asked: &Asked,
        http: FromHttp,
        uris: Vec<String>,
    ) -> Result<Vec<String>, Refused> {
        let mut admits: BTreeMap<OrgCode, bool> = BTreeMap::new();
        let mut watchable = Vec::new();
        for uri in uris {
            let Some(RecordKey { org, .. }) = mcp::record_of_uri(&uri) else {
                continue;
            };
            let admitted = match admits.get(&org) {
                Some(known) => *known,
                None => {
                    let query = [("orgcode", org.as_str()), ("limit", "1")];
                    let answer = self.ask((asked, &http), ORG, &query).await;
                    let admitted = answer.status.is_success();
                    if !matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
                        data_of(answer)?;
                    }
                    admits.insert(org, admitted);
                    admitted
                }
            };
            if admitted {
                watchable.push(uri);
            }
        }
        Ok(watchable)
    }

    /// Looks at the records themselves, and for each that changed asks its route whether the caller may read it.
    pub(super) async fn changes(
        &self,
        asked: &Asked,
        http: FromHttp,
        uris: Vec<String>,
        since: Seen,
    ) -> Result<Changes, Refused> {
        let app = self.shared.gateway.app();
        let app = app.ok_or_else(|| of_rejection(&unavailable()))?;
        // Before the rows: what comes between is seen by the next look.
        let shown_to = app.store.checkpoint();
        let shown_to = shown_to.map_err(|_| of_rejection(&unavailable()))?;
        if since.shown_to == Some(shown_to) {
            return Ok(Changes {
                seen: since,
                uris: Vec::new(),
            });
        }
        let mut changes = Changes::default();
        let seen = &mut changes.seen;
        seen.shown_to = Some(shown_to);
        for uri in uris {
            let before = since.revisions.get(seen.revisions.len()).copied();
            let Some(name) = mcp::record_of_uri(&uri) else {
                seen.revisions.push(None);
                continue;
            };
            let found = records::find(&app.store, RecordName::from(&name));
            let found = found.map_err(|_| of_rejection(&unavailable()))?;
            let revision = found.map(|record| record.revision.0);
            if before.is_none_or(|before| before == revision) {
                seen.revisions.push(revision);
                continue;
            }
            let query = [
                ("orgcode", name.org.as_str()),
                ("container", name.container.as_str()),
                ("record_id", name.record_id.as_str()),
                ("include_doomed", "true"),
            ];
            let answer = self.ask((asked, &http), RECORD, &query).await;
            match answer.status {
                StatusCode::OK => changes.uris.push(uri),
                // What was removed is told of no more.
                StatusCode::NOT_FOUND if revision.is_none() => {}
                // To be asked again with the next look.
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    seen.revisions.push(before.flatten());
                    seen.shown_to = None;
                    continue;
                }
                // A credential or a right that ended ends the stream.
                _ => data_of(answer).map(drop)?,
            }
            seen.revisions.push(revision);
        }
        Ok(changes)
    }

    async fn ask(
        &self,
        (asked, http): (&Asked, &FromHttp),
        path: &'static str,
        query: &[(&str, &str)],
    ) -> InnerAnswer {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        let query = encoded.extend_pairs(query).finish();
        let request = InnerRequest::get(asked.label, path, http.caller.clone(), query);
        carry_out(&self.shared.gateway, request).await
    }
}
