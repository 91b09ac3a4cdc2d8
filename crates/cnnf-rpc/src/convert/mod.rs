//! Core values to messages and back.
