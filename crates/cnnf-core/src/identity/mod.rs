//! Who owns a connection.
//!
//! Most connections carry their owner already: the kernel stamps them with the slot of the service whose cgroup made the socket. What is
//! left to say here is which cgroup means which service ([`of_cgroup`]), what a container is called ([`Container::key`]), what a program
//! outside any unit is called ([`program`]), what an operator wants things called ([`Definition`], [`Naming`]), which number stands for
//! which service ([`Slots`]), and how a stamp reads back ([`Resolver`]).
//!
//! **Invariant**: an owner is known, `unknown` or `ambiguous`; it is never guessed from what merely looks alike.

mod activation;
mod cgroup;
mod container;
mod definition;
mod naming;
mod program;
mod resolver;
mod slots;

pub use activation::{SOCKET_PROPERTIES, SocketUnit, socket_units};
pub use cgroup::{CgroupOwner, of_cgroup, unit_of_cgroup};
pub use container::{Container, Record};
pub use definition::{Definition, DefinitionError, MAX_DEFINITIONS};
pub use naming::{HeldPorts, Naming, Program};
pub use program::program;
pub use resolver::{Ends, Owner, Resolver};
pub use slots::{Full, Slots};

#[cfg(test)]
mod kernel;
#[cfg(test)]
mod tests;
