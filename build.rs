//! Stamps the build with its time, for the `build` part of every answer.

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=Cargo.toml");
    let stamp = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    #[expect(
        clippy::disallowed_methods,
        reason = "the build itself is what the time is taken of"
    )]
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    println!(
        "cargo:rustc-env=METARECORD_BUILD_SECONDS={}",
        stamp.unwrap_or_else(now)
    );
}
