//! The wire and only the wire: generated messages and services.

/// Generated from `proto/cnnf/v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("cnnf.v1");
}
/// All file descriptors, for reflection and JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
