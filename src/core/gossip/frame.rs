//! Requests, replies and metadata as bytes: CBOR with numbered fields, of which unknown ones are skipped.

use minicbor::{Decode, Encode};

/// Error for bytes that are no such frame.
#[derive(Debug, thiserror::Error)]
#[error("does not read: {0}")]
pub(super) struct FrameError(String);

impl FrameError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

/// Reads a value that `write` wrote, here or in another version.
pub(super) fn read<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, FrameError> {
    minicbor::decode(bytes).map_err(|error| FrameError(error.to_string()))
}

/// Writes a value.
pub(super) fn write<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to a vector cannot fail")
}
