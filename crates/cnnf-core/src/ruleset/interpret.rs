//! Runs a packet through a ruleset, as the kernel would.
