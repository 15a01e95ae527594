//! The `g3n` program: parse, run, exit code.
use metarecord::boot::{self, Options};
use metarecord::http::server::{DoorLimits, MrsSettings};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let get = |name: &str, default: &str| {
        args.iter()
            .position(|arg| arg == name)
            .and_then(|at| args.get(at + 1).cloned())
            .unwrap_or(default.to_owned())
    };
    let options = Options {
        data_dir: get("--data-dir", "data").into(),
        development: args.iter().any(|arg| arg == "--dev"),
        listen: get("--listen", "127.0.0.1:8000"),
        operator_listen: get("--operator-listen", "127.0.0.1:8001"),
        public_url: String::new(),
        workers: 2,
        door: DoorLimits {
            requests_in_flight_max: 4096,
            body_bytes_max: 1 << 20,
            stage: "prod".to_owned(),
        },
        actors: Default::default(),
        segment_bytes: 64 << 20,
        journal_cache_bytes: 64 << 20,
        queue_max: 4096,
        projections_cache_bytes: 128 << 20,
        uploads_max: 16,
        sweep_seconds: 60,
        mrs: MrsSettings {
            upload_url_seconds: 900,
            download_url_seconds: 900,
        },
    };
    if let Err(error) = boot::serve(&options, |ready| println!("ready {ready:?}")) {
        eprintln!("{error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            eprintln!("  because {cause}");
            source = cause.source();
        }
        std::process::exit(1);
    }
}
