//! One suite for every database behind the store. It speaks only the store's API; what opens a store is in [`place`].

mod backup;
mod channels;
mod events;
mod fleet;
mod history;
mod kill;
mod learning;
mod migration;
mod people;
mod place;
mod policy;
mod reports;
mod spans;
