//! How much a vacuum erases of each service, and how much it leaves.

use serde::{Deserialize, Serialize};

/// Numbers of rows, objects and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Amount {
    /// Rows: records, orgs and members, users, sessions.
    pub items: u64,
    /// Content files, each counted once.
    pub objects: u64,
    /// Bytes of files and of inline content.
    pub bytes: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// The amount that a vacuum erases of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAmount {
    /// Name of the service, such as `mrs`.
    pub service: String,
    /// The amount; zeros when the service is skipped.
    pub amount: Amount,
    /// Why the service is left out.
    pub skipped: Option<String>,
}

/// What a vacuum does not erase of one service, or only when that is confirmed, because it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Name of the service, such as `mrs`.
    pub service: String,
    /// Rows that are held: records, orgs, users.
    pub items: u64,
    /// Why they are held, in words for operators.
    pub reason: String,
}
