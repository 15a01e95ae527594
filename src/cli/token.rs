//! `g3n token`: tokens and keys for trying out an external identity.

mod mint;

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use self::mint::{Grant, NewKeys, SignError, SigningKey};
use super::exit::Exit;
use super::failure::Failure;
use super::out_file::{OutFile, Readers};
use super::output::{Output, Printer, print_line};
use super::time::seconds_from_now;
use crate::clock::{Clock, random_uuid};
use crate::directory;
use crate::domain::OrgCode;
use crate::os_error::describe;
use crate::token::KeyFileError;

/// Longest time that a token is made for, in seconds: a year.
const SECONDS_MAX: u32 = 31_536_000;

/// Make tokens and keys for trying out an external identity; a real one comes from an identity provider.
#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Create a token and print it; with --output json an object with its expiry.
    #[command(
        after_help = "Examples:\n  g3n token mint --private-key-file keys/private.pem --issuer https://id.example --audience metarecord --subject u-1 --org ACME --role mrs_writer\n  g3n token mint --hmac-file secret --issuer https://id.example --audience metarecord --subject u-1 --org ACME --role mrs_reader --expires-in 60 --output json"
    )]
    Mint(MintArgs),
    /// Create a key pair for ES256: DIR/private.pem, for --private-key-file, and DIR/jwks.json, for the setting
    /// auth.jwt_jwks_file.
    #[command(after_help = "Example:\n  g3n token keys --out keys")]
    Keys(KeysArgs),
}

/// What the token says, and what signs it.
#[derive(Args, Debug)]
struct MintArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The id of the key, when the set of keys has several.
    // One made by `token keys` begins with a hyphen now and then.
    #[arg(long, allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    kid: Option<String>,
    /// The iss claim: the server's auth.jwt_issuer.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    issuer: String,
    /// The aud claim: the server's auth.jwt_audience.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    audience: String,
    /// The sub claim: the caller.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    /// The org claim.
    #[arg(long)]
    org: String,
    /// The role claim.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    role: String,
    /// Seconds until it expires, or such as 12h, or when (RFC 3339). A server accepts at most its auth.jwt_life_seconds_max, by
    /// default one day.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = life)]
    expires_in: u32,
    /// The jti claim, by which g3n ops jwt-revoke revokes it; by default a new UUID.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    jti: Option<String>,
}

/// Reads how long a token is valid.
fn life(text: &str) -> Result<u32, String> {
    let seconds = u32::try_from(seconds_from_now(text)?).ok();
    let fits = seconds.filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    fits.ok_or_else(|| format!("a token is valid for 1 to {SECONDS_MAX} seconds, a year"))
}

/// What signs it; one of them.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct KeyArgs {
    /// A file with a secret of 32 bytes or more, which only its owner can read: HS256.
    #[arg(long, value_name = "FILE")]
    hmac_file: Option<PathBuf>,
    /// A PEM file, which only its owner can read, with a key of P-256 (ES256) or RSA (RS256).
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,
}

/// Where to.
#[derive(Args, Debug)]
struct KeysArgs {
    /// A directory; created if missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs one verb.
///
/// # Errors
/// A file that cannot be used, or standard output that cannot be written.
pub(super) fn run(
    arguments: &TokenArgs,
    asked: Option<Output>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let told = match &arguments.verb {
        Verb::Mint(mint) => mint.run(asked)?,
        Verb::Keys(keys) => printer.facts(&keys.run()?),
    };
    told.map(|()| Exit::Success).map_err(Failure::stdout)
}

impl MintArgs {
    /// A token is used by the next command of a pipe, which gets it alone unless an object is asked for.
    fn run(&self, asked: Option<Output>) -> Result<io::Result<()>, Failure> {
        let grant = self.grant()?;
        let now = Clock::system().now();
        let token = self.key.load()?.mint(&grant, now).map_err(failed)?;
        let ends_at = now.plus_millis(i64::from(self.expires_in) * 1_000);
        let ends_at = ends_at.to_string();
        Ok(match asked {
            Some(Output::Json | Output::Jsonl) => {
                let told = json!({"token": token, "expires_at": ends_at, "jti": grant.jti});
                print_line(&told.to_string())
            }
            Some(Output::Table) | None => print_line(&token),
        })
    }

    fn grant(&self) -> Result<Grant, Failure> {
        let org = OrgCode::parse(&self.org);
        Ok(Grant {
            kid: self.kid.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            subject: self.subject.clone(),
            org: org
                .map_err(|rejection| Failure::Usage(format!("--org: {}", rejection.message)))?,
            role: self.role.clone(),
            seconds: self.expires_in,
            jti: self
                .jti
                .clone()
                .unwrap_or_else(|| random_uuid().to_string()),
        })
    }
}

impl KeyArgs {
    fn load(&self) -> Result<SigningKey, Failure> {
        let key = match (&self.hmac_file, &self.private_key_file) {
            (Some(path), _) => SigningKey::from_hmac_file(path),
            (None, Some(path)) => SigningKey::from_pem_file(path),
            // The group asks for one; this is what it says when it does not.
            (None, None) => {
                return Err(Failure::Usage(
                    "give --hmac-file or --private-key-file".to_owned(),
                ));
            }
        };
        key.map_err(|error: KeyFileError| Failure::Usage(describe(&error)))
    }
}

impl KeysArgs {
    fn run(&self) -> Result<serde_json::Value, Failure> {
        if let Some(data_dir) = directory::around(&self.out) {
            return Err(Failure::Usage(format!(
                "{} is in the data directory {}, where nothing else is written; use another --out",
                self.out.display(),
                data_dir.display()
            )));
        }
        let private = self.out.join("private.pem");
        let public = self.out.join("jwks.json");
        let keys = NewKeys::generate().map_err(failed)?;
        let mut directory = DirBuilder::new();
        let made = directory.recursive(true).mode(0o700).create(&self.out);
        made.map_err(|error| Failure::output(&self.out, error))?;
        for path in [&private, &public] {
            if path.symlink_metadata().is_ok() {
                return Err(Failure::Usage(format!(
                    "{} exists, and keys are not overwritten; use another --out",
                    path.display()
                )));
            }
        }
        // Both or none: a private key without its public one is of no use.
        let private_file = begin(&private, Readers::Owner, &keys.private_pem)?;
        let public_file = begin(&public, Readers::Umask, &keys.jwks)?;
        private_file.finish()?;
        public_file.finish()?;
        Ok(json!({
            "private_key_file": private.display().to_string(),
            "jwks_file": public.display().to_string(),
            "kid": keys.kid,
        }))
    }
}

fn begin(path: &Path, readers: Readers, text: &str) -> Result<OutFile, Failure> {
    let mut file = OutFile::open(path, readers)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.flush());
    written.map_err(|error| Failure::output(path, error))?;
    Ok(file)
}

fn failed(error: SignError) -> Failure {
    Failure::Content {
        tag: "token",
        message: error.to_string(),
    }
}
