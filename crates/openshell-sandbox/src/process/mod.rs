//! Processes of the sandbox: the main process, and what channels of the gateway's run beside it.

pub(crate) mod command;
pub(crate) mod identity;
pub(crate) mod lines;
pub(crate) mod main_process;
mod reaper;

pub(crate) use main_process::MainProcess;
pub(crate) use reaper::Reaper;
