//! The gateway as its users meet it: the program itself, the client beside it, real backends behind it.

mod client;
mod front;
mod harness;
mod lifecycle;
mod programs;
mod refusals;
mod shutdown;
mod startup;
