//! The gateway as its users meet it: the program itself, the client beside it, real backends behind it.

mod attacks;
mod backend;
mod client;
mod elsewhere;
mod front;
mod harness;
mod inside;
mod lifecycle;
mod machines;
mod outage;
mod process;
mod programs;
mod python;
mod quirks;
mod refusals;
mod shutdown;
mod startup;
mod supervisor;
