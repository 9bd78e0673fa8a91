//! The sandbox over real sockets.

mod client;
mod connections;
mod faults;
mod gateway;
mod people;
mod tokens;
