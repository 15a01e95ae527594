//! The table of tools: names, words, hints and who sees which, held against the routes' rights.

use metarecord::domain::operator_token::TokenScope;
use metarecord::http::auth::access::{Access, Right};
use metarecord::http::routes::ROUTES;
use metarecord::mcp::table::all;
use metarecord::mcp::{Audience, Confirm, Door, Mode, Needs, Surface, Who};
use serde_json::{Value, json};

use super::{operator, tenant, toolbox};

/// Most bytes of a list of tools.
const LIST_BYTES_MAX: usize = 16 * 1024;

/// What a tool is in `tools/list`.
fn listed(tool: &metarecord::mcp::Tool) -> Value {
    let mut listed = json!({
        "name": tool.spec().name,
        "title": tool.spec().title,
        "description": tool.spec().words,
        "inputSchema": tool.input_schema,
        "annotations": {
            "title": tool.spec().title,
            "readOnlyHint": tool.spec().hints.read_only,
            "destructiveHint": tool.spec().hints.destructive,
            "idempotentHint": tool.spec().hints.idempotent,
            "openWorldHint": tool.spec().hints.open_world,
        },
    });
    if let Some(output) = &tool.output_schema {
        listed["outputSchema"] = json!(output);
    }
    listed
}

/// The names that an audience sees.
fn names(of: &Audience) -> Vec<&'static str> {
    toolbox()
        .list(of)
        .iter()
        .map(|tool| tool.spec().name)
        .collect()
}

/// Every kind of audience.
fn audiences() -> Vec<Audience> {
    let mut all = Vec::new();
    for base in [tenant(), operator()] {
        for mode in [Mode::Read, Mode::Write] {
            for confirm in [Confirm::Plan, Confirm::Ask, Confirm::Both] {
                for urls in [false, true] {
                    for door in [
                        Door::Http,
                        Door::Stdio { has_code: false },
                        Door::Stdio { has_code: true },
                    ] {
                        all.push(Audience {
                            mode,
                            confirm,
                            urls,
                            door,
                            ..base.clone()
                        });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn tools_and_instructions_stay_small_for_everybody() {
    let toolbox = toolbox();
    for audience in audiences() {
        let tools = toolbox.list(&audience);
        let list = json!({"tools": tools.iter().map(|tool| listed(tool)).collect::<Vec<_>>()});
        let bytes = list.to_string().len();
        assert!(bytes <= LIST_BYTES_MAX, "{bytes} of {audience:?}");
        let instructions = toolbox.instructions(&audience);
        assert!(
            instructions.len() <= 1_536,
            "{} of {audience:?}",
            instructions.len()
        );
    }
}

#[test]
fn each_tool_is_named_noun_first_and_says_what_it_does() {
    for spec in all() {
        let name = spec.name;
        let fits = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(fits && (name.contains('_') || name == "whoami"), "{name}");
        assert_eq!(spec.label, format!("mcp/{name}"));
        assert!(
            (20..=400).contains(&spec.words.len()),
            "{name}: {}",
            spec.words.len()
        );
        assert!(
            spec.words.ends_with('.') && !spec.title.is_empty(),
            "{name}"
        );
        assert!(!spec.routes.is_empty(), "{name}");
        let hints = spec.hints;
        assert!(!(hints.read_only && hints.destructive), "{name}");
    }
    let mut seen: Vec<_> = all()
        .map(|spec| (spec.name, spec.surface == Surface::Tenant))
        .collect();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "two tools of one name");
}

#[test]
fn what_a_tool_needs_is_what_its_routes_ask_for() {
    for spec in all().filter(|spec| spec.surface == Surface::Tenant) {
        for route in spec.routes {
            let (method, path) = route.split_once(' ').expect("method and path");
            let mut routes = ROUTES.iter();
            let found = routes.find(|known| known.path == path && known.method.as_str() == method);
            let found = found.unwrap_or_else(|| panic!("{}: there is no {route}", spec.name));
            let needs = match found.access {
                Access::Public => Needs::Public,
                Access::Authenticated => Needs::Authenticated,
                Access::Org(Right::Read) => Needs::Read,
                Access::Org(Right::Write) => Needs::Write,
                Access::Org(Right::Manage) => Needs::Manage,
                other => panic!("{}: {other:?}", spec.name),
            };
            assert_eq!(spec.needs, needs, "{} by {route}", spec.name);
            let changes = matches!(found.access, Access::Org(Right::Write | Right::Manage));
            assert_eq!(spec.hints.read_only, !changes, "{} by {route}", spec.name);
        }
    }
}

#[test]
fn a_tenant_sees_nine_tools_that_read_and_six_that_write() {
    let reading = [
        "whoami",
        "containers_list",
        "records_list",
        "record_get",
        "record_versions",
        "record_history",
        "records_due",
        "service_status",
        "maintenance_windows",
    ];
    let writing = [
        "record_create",
        "record_replace",
        "record_tag",
        "record_ttl_set",
        "record_hold_set",
        "record_doom",
    ];
    let read = Audience {
        mode: Mode::Read,
        ..tenant()
    };
    assert_eq!(names(&read), reading);
    assert_eq!(names(&tenant()), [&reading[..], &writing[..]].concat());
    let with_urls = Audience {
        urls: true,
        ..tenant()
    };
    let uploads = ["record_upload_begin", "record_upload_complete"];
    assert_eq!(
        names(&with_urls),
        [&reading[..], &writing[..], &uploads[..]].concat()
    );
    let read_with_urls = Audience { urls: true, ..read };
    assert_eq!(names(&read_with_urls), reading);
}

#[test]
fn a_role_sees_no_tool_that_it_may_not_use() {
    let of = |writes, manages| Audience {
        who: Who::Tenant { writes, manages },
        urls: true,
        ..tenant()
    };
    for tool in toolbox().list(&of(false, false)) {
        assert!(
            tool.spec().hints.read_only,
            "a reader sees {}",
            tool.spec().name
        );
    }
    let writer = names(&of(true, false));
    assert!(writer.contains(&"record_doom") && !writer.contains(&"record_hold_set"));
    assert!(names(&of(true, true)).contains(&"record_hold_set"));
    for scope in TokenScope::ALL {
        let who = Who::Operator {
            scopes: vec![scope],
        };
        let audience = Audience { who, ..operator() };
        for tool in toolbox().list(&audience) {
            let needs = tool.spec().needs;
            let fits = scope == TokenScope::All
                || needs == Needs::Public
                || matches!(needs, Needs::Scopes([needed]) if *needed == scope);
            assert!(fits, "{scope:?} sees {}", tool.spec().name);
        }
    }
}

#[test]
fn an_operator_sees_what_needs_the_code_over_stdio_alone() {
    let reading = [
        "service_status",
        "maintenance_windows",
        "vacuum_status",
        "audit_list",
        "jobs_list",
        "request_trace",
        "holds_list",
        "drift_report",
    ];
    let http = ["job_control", "drift_repair"];
    let coded = [
        "vacuum_cancel",
        "vacuum_dry_run",
        "maintenance_schedule",
        "maintenance_update",
        "maintenance_transition",
    ];
    let all = [&reading[..], &http[..], &coded[..]].concat();
    assert_eq!(names(&operator()), all);
    for door in [Door::Http, Door::Stdio { has_code: false }] {
        let audience = Audience { door, ..operator() };
        assert_eq!(
            names(&audience),
            all[..reading.len() + http.len()],
            "{door:?}"
        );
    }
    let read = Audience {
        mode: Mode::Read,
        ..operator()
    };
    assert_eq!(names(&read), reading);
}

#[test]
fn instructions_name_the_tools_of_the_other_mode_and_no_command() {
    let toolbox = toolbox();
    let read = Audience {
        mode: Mode::Read,
        ..tenant()
    };
    let text = toolbox.instructions(&read);
    for name in ["record_create", "record_doom", "record_hold_set"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(
        text.contains("only a person can set") && !text.contains("--mode"),
        "{text}"
    );
    let who = Who::Tenant {
        writes: false,
        manages: false,
    };
    let text = toolbox.instructions(&Audience { who, ..read });
    assert!(
        !text.contains("record_create") && text.contains("may only read"),
        "{text}"
    );
}
