//! Processes of the sandbox: the main process, and what channels of the gateway's run beside it.

pub(crate) mod channel;
pub(crate) mod command;
pub(crate) mod frames;
pub(crate) mod identity;
mod input;
pub(crate) mod keeper;
mod kept;
pub(crate) mod lines;
pub(crate) mod main_process;
mod output;
mod reaper;

pub(crate) use main_process::MainProcess;
pub(crate) use reaper::Reaper;
