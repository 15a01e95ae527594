//! `g3n ofm invitation-...`: inviting users to an org, and answering invitations.

use clap::Args;
use serde_json::{Map, Value};

use super::MemberArgs;
use crate::cli::args::{MakeArgs, RemarkArgs, insert};

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    member: MemberArgs,
    /// What the user may do once the invitation is accepted; member by default.
    #[arg(long, value_parser = ["owner", "member"])]
    role: Option<String>,
    /// The invitation's label in the org's list.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    remarks: MakeArgs,
}

#[derive(Args, Debug)]
pub(super) struct WhichArgs {
    /// The id of the invitation, as `invitation-list` and `invitation-mine` show it.
    #[arg(long, value_name = "ID")]
    invitation_id: String,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// How much of the list of one's own invitations.
#[derive(Args, Debug)]
pub(super) struct MineArgs {
    /// Invitations a page: 8 by default, 1 to 256.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// The next_token of the page before.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    next_token: Option<String>,
}

impl CreateArgs {
    pub(super) fn body(&self, body: Map<String, Value>) -> Value {
        let mut body = self.member.add(body);
        insert(&mut body, "role", self.role.as_deref());
        insert(&mut body, "label", self.label.as_deref());
        Value::Object(self.remarks.sign(body))
    }
}

impl WhichArgs {
    pub(super) fn body(&self, mut body: Map<String, Value>) -> Value {
        insert(
            &mut body,
            "invitation_id",
            Some(self.invitation_id.as_str()),
        );
        Value::Object(self.remarks.sign(body))
    }
}

impl MineArgs {
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        insert(&mut body, "limit", self.limit);
        insert(&mut body, "next_token", self.next_token.as_deref());
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

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
            ("mine --limit 3", json!({"limit": 3})),
        ] {
            let words = std::iter::once("ofm").chain(line.split(' '));
            let org = crate::cli::args::about("ACME");
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Create(arguments) => arguments.body(org),
                Line::Which(arguments) => arguments.body(org),
                Line::Mine(arguments) => arguments.body(),
            };
            assert_eq!(body, sent, "{line}");
        }
    }
}
