//! The tools: what each is called, says, takes and does. The only list of them.

mod fields;
mod operators;
mod tenants;

use serde_json::Value;

use super::audience::{Audience, Door, Mode, Surface, Who};
use crate::domain::operator_token::TokenScope;

/// Where the schema of a field comes from.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// A field of a route, which is named by method and path.
    Route(&'static str, &'static str),
    /// The tool's own schema.
    Own(fn() -> Value),
}

/// One argument of a tool.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) from: From,
    pub(super) words: &'static str,
    pub(super) required: bool,
}

/// What a tool does to the world, for whoever decides whether it may run unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing that lasts.
    pub read_only: bool,
    /// What it changes is not there afterwards as it was.
    pub destructive: bool,
    /// To call it twice with the same arguments is to call it once.
    pub idempotent: bool,
    /// Its answer has text that others wrote.
    pub open_world: bool,
}

/// What a tool requires of its caller, as the route that it maps to does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a credential.
    Public,
    /// A credential of any kind.
    Authenticated,
    /// The right to read records.
    Read,
    /// The right to change records.
    Write,
    /// The right to manage the org.
    Manage,
    /// These scopes of the operator token, each of them.
    Scopes(&'static [TokenScope]),
}

/// The code that a tool runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Whoami,
    Containers,
    Records,
    Record,
    Versions,
    History,
    Due,
    Status,
    Windows,
    Create,
    Replace,
    Tag,
    SetTtl,
    SetHold,
    Doom,
    BeginUpload,
    CompleteUpload,
    OperatorWindows,
    Vacuum,
    Audit,
    Jobs,
    Trace,
    Holds,
    Drift,
    ControlJob,
    RepairDrift,
    CancelVacuum,
    PlanVacuum,
    ScheduleWindow,
    UpdateWindow,
    MoveWindow,
}

/// A row of the table: one tool.
pub struct Spec {
    /// The name that a model calls it by.
    pub name: &'static str,
    /// The name in the log, with `mcp/` before it.
    pub label: &'static str,
    /// A title for people.
    pub title: &'static str,
    /// What it does and how it is used, at most 400 characters.
    pub words: &'static str,
    pub(super) fields: &'static [Field],
    /// The schema of its structured answer, if it has one.
    pub(super) output: Option<fn() -> Value>,
    /// What it does to the world.
    pub hints: Hints,
    /// Whose tool it is.
    pub surface: Surface,
    /// Whether it needs the operators' secret code, and so is there over standard input and output alone.
    pub needs_code: bool,
    /// Whether it is there only where urls that are credentials are given out.
    pub gives_urls: bool,
    /// What it requires of its caller.
    pub needs: Needs,
    /// The routes, as method and path, or the functions that it maps to.
    pub routes: &'static [&'static str],
    pub(super) does: Does,
}

/// The name of a tool and its label.
type Named = (&'static str, &'static str);

impl Spec {
    const fn read(
        surface: Surface,
        (name, label): Named,
        (title, words): (&'static str, &'static str),
        fields: &'static [Field],
        (does, needs): (Does, Needs),
    ) -> Self {
        Self {
            name,
            label,
            title,
            words,
            fields,
            output: None,
            hints: Hints {
                read_only: true,
                destructive: false,
                idempotent: true,
                open_world: false,
            },
            surface,
            needs_code: false,
            gives_urls: false,
            needs,
            routes: &[],
            does,
        }
    }

    const fn write(
        surface: Surface,
        named: Named,
        texts: (&'static str, &'static str),
        fields: &'static [Field],
        does: (Does, Needs),
    ) -> Self {
        let hints = Hints {
            read_only: false,
            destructive: false,
            idempotent: true,
            open_world: false,
        };
        Self {
            hints,
            ..Self::read(surface, named, texts, fields, does)
        }
    }

    const fn routes(self, routes: &'static [&'static str]) -> Self {
        Self { routes, ..self }
    }

    const fn output(self, output: fn() -> Value) -> Self {
        Self {
            output: Some(output),
            ..self
        }
    }

    const fn destructive(self) -> Self {
        let hints = Hints {
            destructive: true,
            ..self.hints
        };
        Self { hints, ..self }
    }

    const fn not_idempotent(self) -> Self {
        let hints = Hints {
            idempotent: false,
            ..self.hints
        };
        Self { hints, ..self }
    }

    const fn open_world(self) -> Self {
        let hints = Hints {
            open_world: true,
            ..self.hints
        };
        Self { hints, ..self }
    }

    const fn needs_code(self) -> Self {
        Self {
            needs_code: true,
            ..self
        }
    }

    const fn gives_urls(self) -> Self {
        Self {
            gives_urls: true,
            ..self
        }
    }

    /// Whether it is there at all for an audience, whatever the caller's rights.
    pub(super) fn is_served(&self, audience: &Audience) -> bool {
        self.surface == audience.surface()
            && (self.hints.read_only || audience.mode == Mode::Write)
            && (!self.needs_code || audience.door == Door::Stdio { has_code: true })
            && (!self.gives_urls || audience.urls)
    }

    /// Whether a caller with these rights may use it.
    pub(super) fn is_allowed(&self, who: &Who) -> bool {
        match (self.needs, who) {
            (Needs::Public | Needs::Authenticated | Needs::Read, _) => true,
            (Needs::Write, Who::Tenant { writes, .. }) => *writes,
            (Needs::Manage, Who::Tenant { manages, .. }) => *manages,
            (Needs::Scopes(needed), Who::Operator { scopes }) => {
                let has = |scope| scopes.contains(scope) || scopes.contains(&TokenScope::All);
                needed.iter().all(has)
            }
            (Needs::Write | Needs::Manage, Who::Operator { .. })
            | (Needs::Scopes(_), Who::Tenant { .. }) => false,
        }
    }
}

/// Every tool, reading ones first, in the order in which they are listed.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    tenants::TOOLS.iter().chain(operators::TOOLS)
}
