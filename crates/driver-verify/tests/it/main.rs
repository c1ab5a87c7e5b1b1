//! The judge on files, graphs and messages that were made for it.

mod attach;
mod bad_input;
mod controls;
mod fixture;
mod layers;
mod mutation;
mod mutator;
mod reports;
mod scene;
mod speed;
