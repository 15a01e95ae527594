//! Every test of the library, in one binary.

mod journal;
