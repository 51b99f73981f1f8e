//! The founding machine as its shell drives it: many of them, over a network that loses, repeats and reorders.

mod scenario;
mod world;
