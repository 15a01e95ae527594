//! Whom tools are shown to: whose credential it is, through which door, and what the operator of the server or the
//! person at the client has set.

use std::str::FromStr;

use serde_json::Value;

use crate::domain::operator_token::TokenScope;

/// Whose tools they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Those who have records.
    Tenant,
    /// Those who run the server.
    Operator,
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// By HTTP, to the server itself.
    Http,
    /// By standard input and output, to a program on the client's machine that has the credential.
    Stdio {
        /// Whether that program has the operators' secret code, too.
        has_code: bool,
    },
}

/// Declares an enum of texts, as settings and flags have them.
macro_rules! texts {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every text that is one.
            pub const TEXTS: &'static [&'static str] = &[$($text),*];

            /// The text that settings and flags have.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("it must be one of {}", Self::TEXTS.join(", "))),
                }
            }
        }
    };
}

texts! {
    /// Whether there are tools that change something.
    pub enum Mode {
        /// Only tools that read.
        Read = "read",
        /// Tools that change something, too.
        Write = "write",
    }
}

texts! {
    /// How what cannot be undone is confirmed.
    pub enum Confirm {
        /// By a plan that the same caller sends back.
        Plan = "plan",
        /// By the person at the client, who is asked; clients that cannot ask are refused.
        Ask = "ask",
        /// By the person where the client can ask, otherwise by a plan.
        Both = "both",
    }
}

/// What a credential may do, over all orgs that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A tenant, of any kind.
    Tenant {
        /// Whether it may change records of any org.
        writes: bool,
        /// Whether it may manage any org.
        manages: bool,
    },
    /// An operator, with a token.
    Operator {
        /// The scopes of the token.
        scopes: Vec<TokenScope>,
    },
}

impl Who {
    /// The rights of a tenant, from the `data` of `GET /whoami`.
    pub fn of_whoami(data: &Value) -> Self {
        let orgs = data["orgs"].as_array().into_iter().flatten();
        let roles: Vec<_> = orgs.filter_map(|org| org["role"].as_str()).collect();
        let any = |names: &[&str]| roles.iter().any(|role| names.contains(role));
        Self::Tenant {
            writes: any(&["owner", "member", "mrs_writer"]),
            manages: any(&["owner"]),
        }
    }
}

/// Everything that decides which tools a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// What the credential may do.
    pub who: Who,
    /// How the client is connected.
    pub door: Door,
    /// Whether there are tools that change something.
    pub mode: Mode,
    /// Whether URLs that are credentials may be given out.
    pub urls: bool,
    /// How what cannot be undone is confirmed.
    pub confirm: Confirm,
}

impl Audience {
    /// Whose tools they are.
    pub fn surface(&self) -> Surface {
        match self.who {
            Who::Tenant { .. } => Surface::Tenant,
            Who::Operator { .. } => Surface::Operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_org_with_the_right_shows_the_tools_for_it() {
        for (roles, writes, manages) in [
            (json!([]), false, false),
            (json!([{"role": "mrs_reader"}]), false, false),
            (json!([{"orgcode": "A"}]), false, false),
            (
                json!([{"role": "mrs_reader"}, {"role": "mrs_writer"}]),
                true,
                false,
            ),
            (json!([{"role": "member"}, {"role": "owner"}]), true, true),
        ] {
            let who = Who::of_whoami(&json!({"orgs": roles}));
            assert_eq!(who, Who::Tenant { writes, manages }, "{roles}");
        }
    }

    #[test]
    fn a_mode_is_one_of_its_texts() {
        assert_eq!("write".parse(), Ok(Mode::Write));
        assert_eq!(
            "Both".parse::<Confirm>().err().as_deref(),
            Some("it must be one of plan, ask, both")
        );
    }
}
