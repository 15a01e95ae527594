//! `docs/mcp/mrs/PROTOCOL.md` and `docs/mcp/ops/PROTOCOL.md` are what the table of tools makes of them.

use std::path::PathBuf;

use metarecord::mcp::Service;

use super::toolbox;

fn path(service: Service) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("docs/mcp")
        .join(service.as_str())
        .join("PROTOCOL.md")
}

#[test]
fn the_protocol_documents_are_those_of_the_table() {
    let toolbox = toolbox();
    for service in Service::ALL {
        let (text, path) = (toolbox.protocol(service), path(service));
        if std::env::var_os("METARECORD_RENEW").is_some() {
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            std::fs::write(&path, &text).expect("written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "{} is not what the table says; METARECORD_RENEW=1 writes it",
            path.display()
        );
    }
}

#[test]
fn the_protocol_documents_have_every_tool_of_their_service() {
    let toolbox = toolbox();
    for (service, tenants) in [(Service::Mrs, true), (Service::Ops, false)] {
        let text = toolbox.protocol(service);
        for tool in toolbox.all() {
            let its = (tool.spec().surface == metarecord::mcp::Surface::Tenant) == tenants;
            let there = text.contains(&format!("\n### {}\n", tool.spec().name));
            let elsewhere = ["service_status", "maintenance_windows"].contains(&tool.spec().name);
            assert!(
                there == its || elsewhere,
                "{} in {service:?}",
                tool.spec().name
            );
        }
    }
}
