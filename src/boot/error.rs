//! Why a server did not start, or did not end well.

use crate::actors::NotAttached;
use crate::config::Settings;
use crate::content::ContentError;
use crate::content::key_file::KeyError;
use crate::development::DevelopmentError;
use crate::directory;
use crate::journal::JournalError;
use crate::os_error::OsError;
use crate::projections::StoreError;
use crate::tls::TlsError;
use crate::token::TokenError;

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The directory is not one to serve from.
    #[error(transparent)]
    Directory(#[from] directory::DirectoryError),
    /// The projections are not attached to the journal.
    #[error("the actors cannot start")]
    NotAttached(#[from] NotAttached),
    /// The journal did not open or close.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The projections did not open.
    #[error("the projections cannot be used{}", way_out(.0))]
    Projections(#[from] StoreError),
    /// The content store did not open.
    #[error("the content store cannot be used")]
    Content(#[from] ContentError),
    /// A key could not be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Tokens of an identity provider cannot be checked.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Address that was to be listened on.
        address: String,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Development mode is for this machine alone.
    #[error(
        "development mode listens on loopback only, and {0} is not; use --listen 127.0.0.1:8000, or omit --dev"
    )]
    NotLoopback(String),
    /// No Unix socket can have this path.
    #[error(
        "cannot listen on {0}: unix: must be followed by a path of at most 107 bytes when absolute; use a shorter one"
    )]
    SocketPath(String),
    /// Tenants are served at addresses alone.
    #[error(
        "the gateway cannot listen on {0}, only on an address such as 127.0.0.1:8000; --operator-listen (http.operator_listen) accepts a socket"
    )]
    GatewaySocket(String),
    /// Outside of development a vacuum could not be cancelled in time.
    #[error(
        "ops.vacuum_pending_seconds is under 60, which only development mode allows; set 60 or more"
    )]
    PendingTooShort,
    /// Outside of development the data could not be downloaded in time.
    #[error(
        "utl.export_window_hours is under 24, which only development mode allows; set 24 or more"
    )]
    WindowTooShort,
    /// Callers would be identified by a header where that is not safe, or not intended.
    #[error(
        "header identity lets every caller claim any identity: it needs both auth.header_identity and auth.allow_insecure_header_identity, and development mode; set neither otherwise"
    )]
    HeaderIdentity,
    /// Two settings that cannot both hold.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// A directory that the server has to write to cannot be written.
    #[error("{} cannot be written, and the server has to write there", place.display())]
    Unwritable {
        /// The directory that cannot be written.
        place: std::path::PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The process may open too few files.
    #[error(
        "the process may open {files} files at once, and a server needs at least {needed}: raise LimitNOFILE of its unit, or ulimit -Hn in its shell"
    )]
    OpenFiles {
        /// Files and connections that the process may have open at once.
        files: u64,
        /// Open files that a server needs without any connection.
        needed: u64,
    },
    /// The log's directory cannot be used.
    #[error("the log cannot be written in {}; use another --log-dir (log.dir)", dir.display())]
    Log {
        /// Path of the data directory.
        dir: std::path::PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The development identities could not be created.
    #[error(transparent)]
    Development(#[from] DevelopmentError),
    /// The server's own threads failed.
    #[error("the server failed")]
    Server(#[from] std::io::Error),
}

/// Two settings that cannot both hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{names} contradict each other: {rule}", names = self.names.join(" and "))]
pub struct Contradiction {
    /// The names of the two settings that contradict each other.
    pub names: [&'static str; 2],
    /// The rule that the settings break.
    pub rule: &'static str,
}

/// What to do about projections that cannot be used, unless the machine is the cause and the projections may be whole.
fn way_out(error: &StoreError) -> &'static str {
    if OsError::of(error).is_some_and(OsError::is_outside) {
        ""
    } else {
        "; the directory projections/ may be deleted while the server is stopped, and the next start rebuilds it"
    }
}

impl BootError {
    /// The settings that this is about, as they were set: `name = value (origin)`, by commas. `None` where it is about none.
    pub fn settings_named(&self, settings: &Settings) -> Option<String> {
        const LISTEN: &[&str] = &["http.listen", "http.operator_listen"];
        const HEADERS: &[&str] = &[
            "auth.header_identity",
            "auth.allow_insecure_header_identity",
        ];
        let names: Vec<&str> = match self {
            Self::Contradiction(contradiction) => contradiction.names.to_vec(),
            Self::PendingTooShort => vec!["ops.vacuum_pending_seconds"],
            Self::WindowTooShort => vec!["utl.export_window_hours"],
            Self::Log { .. } => vec!["log.dir"],
            Self::HeaderIdentity => HEADERS.to_vec(),
            Self::Listen { address, .. }
            | Self::NotLoopback(address)
            | Self::SocketPath(address)
            | Self::GatewaySocket(address) => {
                let rows = settings.rows().into_iter();
                let those = rows.filter(|row| LISTEN.contains(&row.name) && row.value == *address);
                those.map(|row| row.name).collect()
            }
            // Their texts have the names of settings in them.
            Self::Tls(_) | Self::Token(_) => {
                let text = self.to_string();
                let rows = settings.rows().into_iter();
                let those = rows.filter(|row| text.contains(row.name));
                those.map(|row| row.name).collect()
            }
            Self::Directory(_)
            | Self::Journal(_)
            | Self::Projections(_)
            | Self::Content(_)
            | Self::Key(_)
            | Self::Unwritable { .. }
            | Self::OpenFiles { .. }
            | Self::NotAttached(_)
            | Self::Development(_)
            | Self::Server(_) => Vec::new(),
        };
        (!names.is_empty()).then(|| settings.describe(&names))
    }

    /// Whether the data directory needs a newer program.
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Directory(error) => error.is_newer(),
            Self::Journal(error) | Self::Projections(StoreError::Journal(error)) => {
                error.is_newer()
            }
            Self::Projections(_)
            | Self::Content(_)
            | Self::Key(_)
            | Self::Token(_)
            | Self::Tls(_)
            | Self::Listen { .. }
            | Self::NotLoopback(_)
            | Self::SocketPath(_)
            | Self::GatewaySocket(_)
            | Self::PendingTooShort
            | Self::WindowTooShort
            | Self::HeaderIdentity
            | Self::Contradiction(_)
            | Self::Unwritable { .. }
            | Self::OpenFiles { .. }
            | Self::Log { .. }
            | Self::NotAttached(_)
            | Self::Development(_)
            | Self::Server(_) => false,
        }
    }
}
