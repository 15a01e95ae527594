//! `g3n ofm invitation-...`: inviting users to an org, and answering invitations.

use clap::Args;
use serde::Serialize;

use super::MemberArgs;
use crate::cli::args::{MakeArgs, RemarkArgs};
use crate::cli::bare::BareArgs;
use crate::cli::pages::PageArgs;

#[derive(Args, Debug, Serialize)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    #[serde(flatten)]
    member: MemberArgs,
    /// What the user may do once the invitation is accepted; member by default.
    #[arg(long, value_parser = ["owner", "member"])]
    role: Option<String>,
    /// The invitation's label in the org's list.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    pub(super) bare: BareArgs,
}

#[derive(Args, Debug, Serialize)]
pub(super) struct WhichArgs {
    /// The id of the invitation, as `invitation-list` and `invitation-mine` show it.
    #[arg(long, value_name = "ID")]
    invitation_id: String,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// How much of the list of one's own invitations.
#[derive(Args, Debug, Serialize)]
pub(super) struct MineArgs {
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
    enum Line {
        Create(CreateArgs),
        Which(WhichArgs),
        Mine(MineArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            (
                "create --email b@example.com --label bob --role owner",
                json!({"orgcode": "ACME", "email": "b@example.com", "label": "bob", "role": "owner"}),
            ),
            (
                "which --invitation-id I --actor ann",
                json!({"orgcode": "ACME", "invitation_id": "I", "actor": "ann"}),
            ),
            ("mine --limit 3", json!({"limit": "3"})),
        ] {
            let words = std::iter::once("ofm").chain(line.split(' '));
            let org = crate::cli::args::about("ACME");
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Create(arguments) => with(org, &arguments),
                Line::Which(arguments) => with(org, &arguments),
                Line::Mine(arguments) => with(Map::new(), &arguments),
            };
            assert_eq!(Value::Object(body), sent, "{line}");
        }
    }
}
