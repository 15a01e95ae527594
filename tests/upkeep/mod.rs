//! Upkeep through a running server, by a clock that the test moves.

mod copies;
mod damage;
mod reconcile;
