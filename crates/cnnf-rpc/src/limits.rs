//! How much of anything is accepted. Everything that a peer can send or hold open has a bound here.

use std::time::Duration;

/// The largest message that is decoded, in bytes, where nothing else is said.
pub const MAX_MESSAGE: usize = 4 << 20;
/// The largest message of or to the policy service, the largest answer that cnnfctl takes, and the largest that a host takes of its controller, in
/// bytes: a policy goes whole. That of a host with 1,000,000 addresses fits.
pub const MAX_POLICY_MESSAGE: usize = 64 << 20;

/// Entries of a list page where the caller asks for 0.
pub const DEFAULT_PAGE: u32 = 1_000;
/// Entries of a list page at most.
pub const MAX_PAGE: u32 = 10_000;

/// Rules of a policy at most.
pub const MAX_RULES: usize = 100_000;
/// Changes of a policy that an answer has in full.
pub const MAX_CHANGES: usize = 10_000;
/// Bytes of a text such as a name, a note or a message at most.
pub const MAX_TEXT: usize = 4_096;
/// Labels of a host or an end at most.
pub const MAX_LABELS: usize = 64;
/// Bytes of a label's key or value at most.
pub const MAX_LABEL: usize = 256;
/// Flows of one report at most; a defender splits larger ones.
pub const MAX_FLOWS: usize = 10_000;
/// Events of one report at most; a defender splits larger ones.
pub const MAX_EVENTS: usize = 1_000;
/// Parents of a process that are kept as evidence.
pub const MAX_ANCESTORS: usize = 16;
/// Instances of one inventory at most.
pub const MAX_INSTANCES: usize = 10_000;
/// Endpoints of one instance at most.
pub const MAX_ENDPOINTS: usize = 4_096;

/// How long a TCP connection may take to be made.
pub const CONNECT: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a call that is no stream may take.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// How often an idle HTTP/2 connection is asked whether it is still there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the answer to that may take.
pub const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
/// How often a defender says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a connection without a client certificate may stay: enrolment takes one call.
pub const ANONYMOUS_LIFE: Duration = Duration::from_secs(60);

/// Connections that have said nothing yet at most; the oldest gives way to the next.
pub const MAX_SILENT: usize = 4_096;
/// TLS handshakes that are being made at the same time; whoever has begun one beyond that waits for a turn.
pub const HANDSHAKES_AT_ONCE: usize = 128;
/// For so long a handshake keeps its turn; then its peer is slow.
pub const HANDSHAKE_TURN: Duration = Duration::from_millis(250);
/// TLS handshakes of slow peers at most; the oldest gives way to the next.
pub const MAX_SLOW: usize = 256;
/// Connections that wait in the kernel's queue at most; the kernel may have a lower bound (`net.core.somaxconn`).
pub const MAX_QUEUED: u32 = 4_096;
/// Connections without a client certificate at most; the oldest gives way to the next.
pub const MAX_ANONYMOUS: usize = 256;
/// Connections with a client certificate at most; further ones are closed.
pub const MAX_CONNECTIONS: usize = 8_192;
/// Connections to the web port at most; further ones are closed.
pub const MAX_WEB_CONNECTIONS: usize = 1_024;
/// HTTP/2 streams of one connection at most.
pub const MAX_STREAMS: u32 = 64;
/// Reports of a stream that were sent and are not acknowledged yet, at most.
pub const MAX_UNACKNOWLEDGED: usize = 64;
