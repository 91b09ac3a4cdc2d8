//! Who owns a connection.
