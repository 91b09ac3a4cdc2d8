//! The demo's world as a table.
