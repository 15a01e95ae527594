//! What a server tells people when it is ready: where it is, what to beware of, and the next commands to paste.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::boot::{FirstSteps, Options, Ready};
use crate::cli::quoted::quoted;

/// The name of the program.
const PROGRAM: &str = "g3n";

/// Tells it on standard error: standard output is the log's.
pub(super) fn greet(options: &Options, ready: &Ready) {
    let text = text(options, ready);
    // The server serves whether or not anybody reads this.
    let mut out = std::io::stderr().lock();
    let _: std::io::Result<()> = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn text(options: &Options, ready: &Ready) -> String {
    let mut text = format!(
        "Ready after {:.1} s: gateway {}{}, operators {}{}, data in {}.\n",
        ready.seconds,
        ready.base_url,
        everywhere(&options.settings.http.listen),
        ready.operator_url,
        everywhere(&options.settings.http.operator_listen),
        options.data_dir.display()
    );
    for warning in &ready.warnings {
        text.push_str(&format!("Warning: {warning}.\n"));
    }
    text.push_str(&of_development(options, ready));
    if let Some(steps) = &ready.first_steps {
        text.push_str(&next_steps(ready, steps, &program()));
    }
    text
}

/// What is said of a listener at all addresses of the machine, whose URL is the one at loopback.
fn everywhere(listen: &str) -> &'static str {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]", _)) => " (at every address)",
        Some(_) | None => "",
    }
}

fn of_development(options: &Options, ready: &Ready) -> String {
    let Some(seeded) = &ready.seeded else {
        return String::new();
    };
    let dir = std::fs::canonicalize(&options.data_dir);
    let dir = dir.unwrap_or_else(|_| options.data_dir.clone());
    format!(
        "\nDevelopment mode. For another shell:\n\n\
         export G3N_CONFIG={} G3N_PROFILE=dev\n\
         export SESSION={} ORG={} BASE={} OPERATORS={} G3N_SECRET_CODE={}\n\n\
         curl -sS \"$BASE/mrs/record\" -H \"x-session-guid: $SESSION\" -d '{{\"orgcode\":\"'$ORG'\",\"container\":\"demo\",\"record_id\":\"hello-1\",\"content_type\":\"application/json\",\"payload\":{{\"hello\":\"world\"}}}}'\n",
        quoted(&dir.join("profiles.toml")),
        seeded.session_guid,
        seeded.orgcode,
        ready.base_url,
        quoted(Path::new(&ready.operator_url)),
        seeded.secret_code,
    )
}

/// What does not exist yet, and how to make it. None of the lines asks for anything, so that all can be pasted at once.
fn next_steps(ready: &Ready, steps: &FirstSteps, program: &str) -> String {
    let token = quoted(&steps.token_file);
    let mut text = format!("The operator token is in {token}.\n");
    let lacking = if steps.has_code && steps.has_user {
        return text;
    } else if steps.has_code {
        "No user exists yet"
    } else if steps.has_user {
        "No secret code exists yet"
    } else {
        "No secret code and no user exist yet"
    };
    text.push_str(&format!(
        "{lacking}. As the user who runs the server, in another shell:\n\n\
         export G3N_BASE_URL={} G3N_OPERATOR_URL={} G3N_OPERATOR_TOKEN=\"$(cat {token})\"\n",
        ready.base_url,
        quoted(Path::new(&ready.operator_url)),
    ));
    if !steps.has_code {
        text.push_str(&format!(
            "(umask 077; head -c 24 /dev/urandom | base64 > secret-code.txt)   # keep it apart from the server\n\
             {program} ops secret-set --secret-code-file secret-code.txt\n"
        ));
    }
    if !steps.has_user {
        text.push_str(&format!(
            "(umask 077; head -c 24 /dev/urandom | base64 > passcode.txt)      # the first user's, who changes it\n\
             {program} uas user-create --email you@example.com --passcode-file passcode.txt\n\
             {program} ofm org-create --orgcode ACME --owner-email you@example.com\n\
             # Then that user signs in, and changes the passcode:\n\
             #   {program} login --email you@example.com --orgcode ACME --passcode-file passcode.txt\n\
             #   {program} uas passcode-change\n"
        ));
    }
    text.push('\n');
    text
}

/// How a shell starts this program: by its name where that is found, else by its path.
fn program() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|directory| directory.join(PROGRAM));
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(PROGRAM));
    if found.any(|file| is_program(&file)) {
        PROGRAM.to_owned()
    } else {
        quoted(&own)
    }
}

fn is_program(file: &Path) -> bool {
    let metadata = std::fs::metadata(file);
    metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
