//! `g3n ops audit`: what operators had done, and what became of it.

use clap::Args;
use serde::Serialize;

use crate::cli::pages::PageArgs;
use crate::cli::time::{Time, ago};

/// Which entries to list.
#[derive(Args, Debug, Serialize)]
pub(super) struct AuditArgs {
    /// Only entries of this window.
    #[arg(long, value_name = "ID", conflicts_with_all = ["vacuum_id", "subject"])]
    maintenance_id: Option<String>,
    /// Only entries of this vacuum.
    #[arg(long, value_name = "ID", conflicts_with = "subject")]
    vacuum_id: Option<String>,
    /// Only entries about this org, user (by id), job or operator token.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Only entries from this time on: RFC 3339, or how long ago, such as 15m or 7d.
    #[arg(long, value_name = "TIME", value_parser = ago, allow_hyphen_values = true)]
    since: Option<Time>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) page: PageArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::cli::args::with;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        audit: AuditArgs,
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            ("audit", json!({})),
            (
                "audit --maintenance-id mw_1 --since 2030-03-01T02:00:00Z",
                json!({"maintenance_id": "mw_1", "since": "2030-03-01T02:00:00Z"}),
            ),
            ("audit --subject ACME", json!({"subject": "ACME"})),
            (
                "audit --vacuum-id vac_1 --limit 5 --next-token t",
                json!({"vacuum_id": "vac_1", "limit": "5", "next_token": "t"}),
            ),
        ] {
            let parsed = Line::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(
                Value::Object(with(Map::new(), &parsed.audit)),
                sent,
                "{line}"
            );
        }
    }
}
