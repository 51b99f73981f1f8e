//! The one integration crate.
#![expect(clippy::unwrap_used, reason = "a test that fails says so")]

mod founding;
