//! `g3n ofm`: orgs, and who belongs to them.

mod invitation;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{MakeArgs, RemarkArgs, Said, about, with};
use super::bare::BareArgs;
use super::call::{invoke, of_org};
use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Printer;
use super::pages::PageArgs;
use super::profile::Profile;
use crate::client::Reply;
use crate::domain::quota::{LIMIT_MAX, Quota};

/// The statuses of an org.
const STATUSES: [&str; 6] = [
    "unverified",
    "verified",
    "parked",
    "suspended",
    "frozen",
    "doomed",
];
/// The status that an org does not leave again.
const FOR_GOOD: &str = "doomed";

/// Orgs and their members.
#[derive(Args, Debug)]
pub struct OfmArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show an org (those who belong to it; operators with --operator).
    #[command(
        after_help = "Examples:\n  g3n ofm org-get --orgcode ACME\n  g3n ofm org-get --orgcode ACME --operator"
    )]
    OrgGet(UsageArgs),
    /// List the orgs of the server, one page at a time (operators). `g3n whoami` lists your own.
    #[command(
        after_help = "Examples:\n  g3n ofm org-list --limit 50 --output table\n  g3n ofm org-list --status frozen --all\n  g3n ofm org-list --prefix AC"
    )]
    OrgList(OrgListArgs),
    /// Park an org: it can be read and takes no changes (owners).
    #[command(after_help = "Example:\n  g3n ofm org-park --orgcode ACME --reason holidays")]
    OrgPark(RemarkArgs),
    /// Unpark an org (owners).
    #[command(after_help = "Example:\n  g3n ofm org-unpark --orgcode ACME")]
    OrgUnpark(RemarkArgs),
    /// Invite a user to an org, or give a member another role (owners).
    ///
    /// The user becomes a member with `g3n ofm invitation-accept`.
    #[command(
        after_help = "Examples:\n  g3n ofm member-add --orgcode ACME --email bob@example.com\n  g3n ofm member-add --orgcode ACME --email bob@example.com --role owner"
    )]
    MemberAdd(AddArgs),
    /// Remove a user from an org (owners).
    #[command(
        after_help = "Example:\n  g3n ofm member-remove --orgcode ACME --email bob@example.com"
    )]
    MemberRemove(RemoveArgs),
    /// Leave an org; its last owner cannot.
    #[command(after_help = "Example:\n  g3n ofm member-leave --orgcode ACME")]
    MemberLeave(RemarkArgs),
    /// Invite a user to an org (owners). The answer is the same whether or not such a user exists.
    #[command(
        after_help = "Examples:\n  g3n ofm invitation-create --orgcode ACME --email bob@example.com\n  g3n ofm invitation-create --orgcode ACME --email bob@example.com --role owner --label \"Bob of sales\""
    )]
    InvitationCreate(invitation::CreateArgs),
    /// List an org's open invitations (owners).
    #[command(after_help = "Example:\n  g3n ofm invitation-list --orgcode ACME")]
    InvitationList,
    /// Withdraw an invitation (owners).
    #[command(
        after_help = "Example:\n  g3n ofm invitation-withdraw --orgcode ACME --invitation-id 78eb52f0-9534-4c13-8516-c80f0c3112d1"
    )]
    InvitationWithdraw(invitation::WhichArgs),
    /// List the invitations that you can accept, one page at a time.
    #[command(after_help = "Example:\n  g3n ofm invitation-mine")]
    InvitationMine(invitation::MineArgs),
    /// Accept an invitation and become a member of the org.
    #[command(
        after_help = "Example:\n  g3n ofm invitation-accept --orgcode ACME --invitation-id 78eb52f0-9534-4c13-8516-c80f0c3112d1"
    )]
    InvitationAccept(invitation::WhichArgs),
    /// Decline an invitation.
    #[command(
        after_help = "Example:\n  g3n ofm invitation-decline --orgcode ACME --invitation-id 78eb52f0-9534-4c13-8516-c80f0c3112d1"
    )]
    InvitationDecline(invitation::WhichArgs),
    /// List an org's owners and members, one page at a time.
    #[command(after_help = "Example:\n  g3n ofm member-list --orgcode ACME --limit 5")]
    MemberList(PageArgs),
    /// Find a member by e-mail address or id; exits with 5 when there is none.
    #[command(
        after_help = "Example:\n  g3n ofm member-resolve --orgcode ACME --email bob@example.com"
    )]
    MemberResolve(MemberArgs),
    /// Create an org with its first owner (operators).
    #[command(
        after_help = "Example:\n  g3n ofm org-create --orgcode ACME --owner-email ann@example.com"
    )]
    OrgCreate(CreateArgs),
    /// Set an org's status (operators).
    ///
    /// Only a verified org takes changes; a frozen one cannot be read either; doomed is final.
    #[command(
        after_help = "Example:\n  g3n ofm org-status-set --orgcode ACME --status frozen --reason \"unpaid\""
    )]
    OrgStatusSet(StatusArgs),
    /// Make a user an owner of an org (operators).
    ///
    /// For example of an imported org, whose owners at the other server are not users of this one.
    #[command(after_help = "Example:\n  g3n ofm owner-add --orgcode ACME --email ann@example.com")]
    OwnerAdd(RemoveArgs),
    /// Show an org's usage and quotas (owners; operators with --operator).
    #[command(
        after_help = "Examples:\n  g3n ofm usage --orgcode ACME\n  g3n ofm usage --orgcode ACME --operator --output table"
    )]
    Usage(UsageArgs),
    /// Set an org's quotas (operators).
    ///
    /// Takes effect from the next command on. Nothing is removed when the org already has more.
    #[command(
        after_help = "Examples:\n  g3n ofm quota-set --orgcode ACME records=50000 content_bytes=1000000000\n  g3n ofm quota-set --orgcode ACME tags=none sessions=default --reason \"ticket 12\""
    )]
    QuotaSet(QuotaArgs),
}

/// Whose eyes to look with.
#[derive(Args, Debug)]
struct UsageArgs {
    /// Call the operators' address.
    #[arg(long)]
    operator: bool,
}

/// Limits to set.
#[derive(Args, Debug)]
struct QuotaArgs {
    /// A quota's name with its limit: a number, `none`, or `default` for that of the server's settings.
    #[arg(required = true, value_name = "QUOTA=LIMIT", value_parser = limit)]
    limits: Vec<(Quota, Option<u64>)>,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Which orgs to list, and how many at a time.
#[derive(Args, Debug, Serialize)]
struct OrgListArgs {
    /// Only orgs in this status.
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    /// Only orgs whose code begins with this.
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: PageArgs,
}

/// Reads a quota's name with its limit.
fn limit(text: &str) -> Result<(Quota, Option<u64>), String> {
    let (name, limit) = text.split_once('=').ok_or("write it as QUOTA=LIMIT")?;
    let quota = Quota::parse(name)
        .ok_or_else(|| format!("there is no quota {name}; there are {}", Quota::names()))?;
    let limit = match limit {
        "default" => None,
        "none" => Some(0),
        number => match number.parse() {
            Ok(0) => return Err("write none for no limit".to_owned()),
            Ok(number) if number <= LIMIT_MAX => Some(number),
            Ok(_) | Err(_) => {
                return Err(format!("a limit is 1 to {LIMIT_MAX}, none, or default"));
            }
        },
    };
    Ok((quota, limit))
}

/// Which user.
#[derive(Args, Debug, Serialize)]
#[group(required = true, multiple = false)]
struct MemberArgs {
    /// The id of the user, instead of the address.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// The user's e-mail address.
    #[arg(long)]
    email: Option<String>,
}

/// A user to invite, or a member with another role.
#[derive(Args, Debug, Serialize)]
struct AddArgs {
    #[command(flatten)]
    #[serde(flatten)]
    member: MemberArgs,
    /// The user's role; member by default.
    #[arg(long, value_parser = ["owner", "member"])]
    role: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A member to leave, or a user to become an owner.
#[derive(Args, Debug, Serialize)]
struct RemoveArgs {
    #[command(flatten)]
    #[serde(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// The first owner.
#[derive(Args, Debug, Serialize)]
#[group(required = true, multiple = false)]
struct OwnerArgs {
    /// The first owner's e-mail address.
    #[arg(long, value_name = "EMAIL")]
    owner_email: Option<String>,
    /// The first owner's user id.
    #[arg(long, value_name = "ID")]
    owner_user_id: Option<String>,
}

/// An org to make. Its code is the connection's.
#[derive(Args, Debug, Serialize)]
struct CreateArgs {
    #[command(flatten)]
    #[serde(flatten)]
    owner: OwnerArgs,
    /// Its first status; verified by default.
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// An org's new status.
#[derive(Args, Debug, Serialize)]
struct StatusArgs {
    /// The new status.
    #[arg(long, value_parser = STATUSES)]
    status: String,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
    /// Do not ask for confirmation.
    #[arg(long)]
    #[serde(skip)]
    yes: bool,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &OfmArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let client = profile.gateway();
    let reply = match &arguments.verb {
        Verb::OrgGet(UsageArgs { operator: false }) => client.org_get(&of_org(profile, &())?)?,
        Verb::OrgGet(UsageArgs { operator: true }) => {
            let body = about(profile.named_org("which org?")?);
            invoke(profile, "ofm_org_get", body)?
        }
        Verb::OrgList(arguments) => {
            let ask = |said: &Said| invoke(profile, "ofm_org_list", said.clone());
            let first = with(Map::new(), arguments);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::OrgPark(remarks) => client.org_park(&of_org(profile, remarks)?)?,
        Verb::OrgUnpark(remarks) => client.org_unpark(&of_org(profile, remarks)?)?,
        Verb::MemberAdd(arguments) => {
            let made = client.member_add(&of_org(profile, arguments)?)?;
            // A member that gets another role needs no invitation.
            let name = if made.data()["invitation_id"].is_string() {
                "invitation_id"
            } else {
                "user_id"
            };
            return arguments.bare.tell(printer, name, Ok(made));
        }
        Verb::MemberRemove(arguments) => client.member_remove(&of_org(profile, arguments)?)?,
        Verb::MemberLeave(remarks) => client.member_leave(&of_org(profile, remarks)?)?,
        Verb::InvitationCreate(arguments) => {
            let made = client.invitation_create(&of_org(profile, arguments)?);
            let made = made.map_err(Failure::from);
            return arguments.bare.tell(printer, "invitation_id", made);
        }
        Verb::InvitationList => client.invitation_list(&of_org(profile, &())?)?,
        Verb::InvitationWithdraw(which) => client.invitation_withdraw(&of_org(profile, which)?)?,
        Verb::InvitationMine(mine) => {
            let ask = |said: &Said| Ok(client.invitation_mine(&Value::Object(said.clone()))?);
            return mine.page.list(printer, with(Map::new(), mine), &ask);
        }
        Verb::InvitationAccept(which) => client.invitation_accept(&of_org(profile, which)?)?,
        Verb::InvitationDecline(which) => client.invitation_decline(&of_org(profile, which)?)?,
        Verb::MemberList(page) => {
            let first = with(about(profile.org("which org?")?), page);
            let ask = |said: &Said| Ok(client.member_list(&Value::Object(said.clone()))?);
            return page.list(printer, first, &ask);
        }
        Verb::MemberResolve(member) => client.member_resolve(&of_org(profile, member)?)?,
        Verb::OrgCreate(arguments) => {
            let body = with(about(profile.named_org("which org?")?), arguments);
            let made = invoke(profile, "ofm_org_create", body);
            return arguments.bare.tell(printer, "orgcode", made);
        }
        Verb::OrgStatusSet(arguments) => arguments.run(profile)?,
        Verb::OwnerAdd(arguments) => {
            let body = with(about(profile.named_org("which org?")?), arguments);
            invoke(profile, "ofm_owner_add", body)?
        }
        Verb::Usage(UsageArgs { operator: false }) => {
            let org = profile.org("which org?")?.to_owned();
            client.usage(&[("orgcode", org)])?
        }
        Verb::Usage(UsageArgs { operator: true }) => {
            let body = about(profile.named_org("which org?")?);
            invoke(profile, "ofm_usage", body)?
        }
        Verb::QuotaSet(arguments) => {
            let body = arguments.body(about(profile.named_org("which org?")?));
            invoke(profile, "ofm_quota_set", body)?
        }
    };
    Ok(printer.reply(&reply))
}

impl QuotaArgs {
    fn body(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        let limits = self.limits.iter();
        let limits = limits.map(|(quota, limit)| (quota.as_str().to_owned(), Value::from(*limit)));
        body.insert("limits".to_owned(), Value::Object(limits.collect()));
        with(body, &self.remarks)
    }
}

impl StatusArgs {
    /// Sets the status. At a terminal, dooming an org has to be confirmed first: it cannot be undone.
    fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let org = profile.named_org("which org?")?;
        let body = with(about(org), self);
        if self.status == FOR_GOOD && !self.yes {
            let address = &profile.operator_url.value;
            let what = format!("the org {org} at {address}");
            CliEnv::of_process().confirm(&what)?;
        }
        invoke(profile, "ofm_org_status_set", body)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    enum Line {
        Add(AddArgs),
        Remove(RemoveArgs),
        Create(CreateArgs),
        Set(StatusArgs),
        Quota(QuotaArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            (
                "add --email b@example.com",
                json!({"orgcode": "ACME", "email": "b@example.com"}),
            ),
            (
                "add --user-id U --role owner --actor ann",
                json!({"orgcode": "ACME", "user_id": "U", "role": "owner", "actor": "ann"}),
            ),
            (
                "remove --user-id U --reason left",
                json!({"orgcode": "ACME", "user_id": "U", "reason": "left"}),
            ),
            (
                "create --owner-email a@example.com",
                json!({"orgcode": "ACME", "owner_email": "a@example.com"}),
            ),
            (
                "create --owner-user-id U --status unverified",
                json!({"orgcode": "ACME", "owner_user_id": "U", "status": "unverified"}),
            ),
            (
                "set --status frozen --reason unpaid --yes",
                json!({"orgcode": "ACME", "status": "frozen", "reason": "unpaid"}),
            ),
            (
                "quota records=500 tags=none sessions=default --reason full",
                json!({"orgcode": "ACME", "reason": "full",
                    "limits": {"records": 500, "tags": 0, "sessions": null}}),
            ),
        ] {
            let words = std::iter::once("ofm").chain(line.split(' '));
            let org = about("ACME");
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Add(arguments) => with(org, &arguments),
                Line::Remove(arguments) => with(org, &arguments),
                Line::Create(arguments) => with(org, &arguments),
                Line::Set(arguments) => with(org, &arguments),
                Line::Quota(arguments) => arguments.body(org),
            };
            assert_eq!(Value::Object(body), sent, "{line}");
        }
        for line in [
            "quota",
            "quota records",
            "quota records=0",
            "quota record=5",
            "quota tags=-1",
        ] {
            let words = std::iter::once("ofm").chain(line.split(' '));
            assert!(Line::try_parse_from(words).is_err(), "{line}");
        }
    }
}
