//! Sandboxes with a supervisor, which is one of these tests' own making.

mod exec;
mod harness;
mod logs;
mod many;
mod ready;
mod seams;
mod through;
