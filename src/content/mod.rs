//! The bytes (placeholder until merged).
pub mod sign;
use crate::domain::OrgCode;
use uuid::Uuid;
/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Whose.
    pub org: OrgCode,
    /// Which.
    pub object_id: Uuid,
}
/// Failure.
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ContentError;
/// Store.
pub trait ContentStore: Send + Sync {
    /// Size.
    ///
    /// # Errors
    /// Disk.
    fn size(&self, object: &ObjectName) -> Result<Option<u64>, ContentError>;
}
