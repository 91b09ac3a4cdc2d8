//! One suite for every database behind the store. It speaks only the store's API; what opens a store is in [`place`], and what only SQLite has in
//! [`sqlite`].

mod backup;
mod channels;
mod events;
mod fleet;
mod history;
mod kill;
mod learning;
mod once;
mod people;
mod place;
mod policy;
mod reports;
mod spans;
mod sqlite;
