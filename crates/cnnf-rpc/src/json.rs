//! The JSON form of messages.
