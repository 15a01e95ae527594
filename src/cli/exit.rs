//! The number that the program ends with.

use crate::client::Reply;

/// The program's exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done.
    Success = 0,
    /// The service or a check said no.
    Refused = 1,
    /// The command line, or a file it names, is wrong.
    Usage = 2,
    /// The service cannot be reached.
    Unreachable = 3,
    /// The credential is missing, unknown, or not enough.
    Credentials = 4,
    /// What was asked for does not exist.
    NotFound = 5,
    /// Another caller changed it meanwhile, or its state does not allow this.
    Conflict = 6,
    /// A maintenance window is active.
    Maintenance = 8,
    /// The data was written by a newer program (`EX_DATAERR` of sysexits.h).
    Newer = 65,
    /// What was asked for is done, and its answer cannot be written to standard output (`EX_IOERR`).
    OutputLost = 74,
    /// The server's configuration is not one to start with (`EX_CONFIG` of sysexits.h).
    Configuration = 78,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit status for an answer of the service.
    pub fn of(reply: &Reply) -> Self {
        match (reply.status, reply.tag()) {
            _ if reply.is_success() => Self::Success,
            (401, _) => Self::Credentials,
            // The other 403s are about the org or the url, not about the caller.
            (
                403,
                Some("not-authorized" | "not-owner" | "user-not-verified" | "secret-code-mismatch"),
            ) => Self::Credentials,
            (404, _) => Self::NotFound,
            (409 | 428, _) => Self::Conflict,
            (503, Some("maintenance-mode")) => Self::Maintenance,
            _ => Self::Refused,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, tag: &str) -> Reply {
        let envelope = serde_json::json!({"success": false, "error": {"major": {"tag": tag}}});
        Reply {
            status,
            headers: ureq::http::HeaderMap::new(),
            text: envelope.to_string(),
            envelope,
            credential: crate::client::CredentialKind::None,
        }
    }

    #[test]
    fn an_answer_ends_the_program_with_the_number_of_its_kind() {
        for (status, tag, code) in [
            (400, "invalid-tag", 1),
            (401, "invalid-session", 4),
            (401, "invalid-passcode", 4),
            (403, "not-authorized", 4),
            (403, "not-owner", 4),
            (403, "user-not-verified", 4),
            (403, "secret-code-mismatch", 4),
            (403, "org-write-blocked", 1),
            (403, "org-read-blocked", 1),
            (403, "expired-url", 1),
            (404, "not-found", 5),
            (409, "doomed", 6),
            (428, "expected-revision-required", 6),
            (429, "throttled", 1),
            (503, "maintenance-mode", 8),
            (503, "unavailable", 1),
        ] {
            assert_eq!(Exit::of(&reply(status, tag)).code(), code, "{status} {tag}");
        }
    }
}
