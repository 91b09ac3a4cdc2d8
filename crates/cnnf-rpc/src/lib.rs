//! The wire and only the wire: generated messages and services, their conversion to and from the core's values, their JSON form, TLS
//! and limits.
//!
//! **Invariant**: no meaning is decided here. What arrives is checked for form and becomes a value of `cnnf-core`, or an error that names
//! the field; nothing that a peer sends can panic.

pub mod convert;
#[cfg(test)]
mod fuzz;
pub mod json;
pub mod limits;
pub mod tls;

/// Generated from `proto/cnnf/v1`; the comments there document every message and field.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("cnnf.v1");
}

/// All file descriptors with their comments, as an encoded `FileDescriptorSet`: for reflection and JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
