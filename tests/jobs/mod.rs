//! Upkeep: one shape for all jobs, over the operators' surface, the command line, and their actors alone.

mod check;
mod compaction;
mod held;
mod room;
mod shape;
mod surface;
mod upkeep;
mod world;
