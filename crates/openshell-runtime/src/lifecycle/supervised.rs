//! What the supervisor inside a sandbox changes: a sandbox that has one is ready with it alone.

use super::model::{Life, Supervisor};

impl Life {
    /// The sandbox is one that gets a supervisor.
    #[must_use]
    pub(crate) fn supervised(mut self) -> Self {
        self.supervisor = Some(Supervisor::Awaited);
        self
    }

    /// Its supervisor has connected, and says which run of the main process there is. So, too, where none was known of:
    /// whoever connects with the sandbox's own token proves that there is one.
    pub(crate) fn connected(&mut self, main_process: &str, now_ms: i64) {
        self.supervisor = Some(Supervisor::Connected);
        if self.main_process != main_process {
            main_process.clone_into(&mut self.main_process);
            self.exit_code = None;
        }
        self.arrive();
        self.settle(now_ms);
    }

    /// Its supervisor has been away for too long.
    pub(crate) fn disconnected(&mut self, now_ms: i64) {
        self.await_supervisor();
        self.settle(now_ms);
    }

    /// The gateway has come up without supervision: the backend's word alone counts.
    pub(crate) fn unsupervised(&mut self, now_ms: i64) {
        self.supervisor = None;
        self.arrive();
        self.settle(now_ms);
    }

    /// A run of its main process has ended. What is told of another run than the last is old news.
    pub(crate) fn exited(&mut self, main_process: &str, code: i32) {
        if self.main_process.is_empty() {
            main_process.clone_into(&mut self.main_process);
        }
        if self.main_process == main_process {
            self.exit_code = Some(code);
        }
    }

    /// Who was connected was the supervisor of the run before.
    pub(super) fn await_supervisor(&mut self) {
        self.supervisor = self.supervisor.map(|_| Supervisor::Awaited);
    }
}
