//! The declaration of events: each type once, with its name and its schema version.

/// Declares the events of one family: an enum whose variants have an attribute `#[event("TYPE", SCHEMA_VERSION)]`.
///
/// The journal's form is `{"type": TYPE, "data": FIELDS}`. A type is never renamed and never removed; a new version of one
/// needs an upcaster in `journal/schema.rs`.
macro_rules! events {
    (
        $(#[doc = $about:literal])*
        pub enum $family:ident {
            $(
                $(#[doc = $doc:literal])*
                #[event($kind:literal, $version:literal)]
                $variant:ident { $($fields:tt)* }
            ),* $(,)?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(tag = "type", content = "data")]
        pub enum $family {
            $(
                $(#[doc = $doc])*
                #[serde(rename = $kind)]
                $variant { $($fields)* },
            )*
        }

        impl $family {
            /// Every type of the family with its newest schema version.
            pub(super) const TYPES: &'static [(&'static str, u16)] = &[$(($kind, $version)),*];

            /// The type and its newest schema version.
            pub(super) fn schema(&self) -> (&'static str, u16) {
                match self {
                    $(Self::$variant { .. } => ($kind, $version),)*
                }
            }
        }
    };
}
pub(super) use events;
