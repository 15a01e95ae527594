//! What is needed to build the program, in a source checkout.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::finding::Finding;

const NAME: &str = "toolchain";
/// The oldest Rust that builds this program.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Looks for Rust, and in a source checkout for a C compiler too.
pub(super) fn look(directory: &Path, path: Option<&OsStr>) -> Finding {
    let checkout = is_checkout(directory);
    let install = format!("install Rust {RUST} or newer with rustup (https://rustup.rs)");
    let Some(cargo) = find("cargo", path) else {
        return if checkout {
            Finding::fail(NAME, "a source checkout, and no cargo to build it", install)
        } else {
            Finding::skipped(NAME, "no source checkout here, and no cargo")
        };
    };
    let found = version(&cargo);
    let told = match &found {
        Some((text, _)) => text.clone(),
        None => format!("{} does not print its version", cargo.display()),
    };
    if found.is_none_or(|(_, version)| Some(version) < numbers(RUST)) {
        return if checkout {
            Finding::fail(NAME, told, install)
        } else {
            Finding::warn(NAME, told, install)
        };
    }
    if checkout && find("cc", path).is_none() {
        Finding::fail(
            NAME,
            format!("{told}, and no C compiler named cc"),
            "install one with your package manager, such as gcc or clang",
        )
    } else {
        Finding::ok(NAME, told)
    }
}

/// Whether this program's own sources are there.
fn is_checkout(directory: &Path) -> bool {
    let manifest = std::fs::read_to_string(directory.join("Cargo.toml"));
    let own = concat!("name = \"", env!("CARGO_PKG_NAME"), "\"");
    manifest.is_ok_and(|text| text.lines().any(|line| line == own))
}

fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let places = path.into_iter().flat_map(std::env::split_paths);
    places
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}

/// The output of `cargo --version`, and the version in it.
fn version(cargo: &Path) -> Option<(String, (u32, u32))> {
    let mut command = Command::new(cargo);
    // A rustup must not install anything to answer.
    command.arg("--version").env("RUSTUP_AUTO_INSTALL", "0");
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim().to_owned();
    let version = numbers(text.split(' ').nth(1)?)?;
    Some((text, version))
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("1.100.0") > numbers("1.89"));
        assert!(numbers("1.89.1") >= numbers("1.89"));
        assert_eq!(numbers("nightly"), None);
    }
}
