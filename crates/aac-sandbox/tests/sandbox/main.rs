//! The sandbox over real sockets.

mod client;
mod connections;
mod faults;
mod gateway;
mod people;
mod plans;
mod runs;
mod tokens;
mod vault;
mod vendor;
