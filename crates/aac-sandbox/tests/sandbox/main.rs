//! The sandbox over real sockets.

mod client;
mod connections;
mod faults;
mod gateway;
mod packages;
mod people;
mod plans;
mod quotas;
mod runs;
mod tokens;
mod vault;
mod vault_faults;
