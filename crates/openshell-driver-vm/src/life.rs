//! A machine's life: on, looked after, off.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use openshell_driver_api::conditions::reason;
use openshell_driver_api::supervisor::{self, SupervisorDelivery};
use openshell_driver_api::{DriverError, ErrorKind, SandboxId, environment};
use openshell_driver_common::container::files::{TOKEN_PATH, WORKSPACE};
use openshell_driver_common::names::plain;
use openshell_driver_common::operations::{Kind, said};
use openshell_vm_init::protocol::{Network, Spec, Supervisor, Token};
use tokio::sync::watch;

use crate::driver::Inner;
use crate::error::blocking;
use crate::machine::{Boot, Event, Machine};
use crate::record::{BASE, Record};
use crate::state::Phase;

/// Who speaks in events.
pub(crate) const SOURCE: &str = "vm";
/// How long a shutdown leaves for QEMUs that have to be killed.
const LAST: Duration = Duration::from_secs(2);

impl Inner {
    /// Turns a sandbox's machine on. Returns once QEMU runs.
    pub(crate) async fn boot(self: &Arc<Self>, id: &SandboxId, record: Record) -> Result<(), DriverError> {
        let failed = |error: DriverError| error.with_reason(reason::CONTAINER_START_FAILED);
        let accelerator = self.host.accelerator().await.map_err(failed)?;
        let (records, key) = (Arc::clone(&self.records), id.clone());
        let token = blocking("read the sandbox's token", move || records.token(&key)).await?;
        let dir = self.records.directory(id);
        let gateway = self.door(id, &record);
        let supervisor = gateway.as_ref().map(|_| supervisor_of(&record));
        let boot = Boot {
            name: format!("{}.{}", plain(&self.scope.gateway_id), plain(id.as_str())),
            base: dir.join(BASE),
            dir,
            cpus: record.cpus,
            memory: record.memory,
            network: record.network,
            gateway,
            spec: Spec {
                hostname: record.run.hostname.clone(),
                argv: record.run.argv.clone(),
                supervisor,
                env: record.run.environment.clone(),
                user: record.run.user.clone(),
                working_dir: record.run.working_dir.clone(),
                workspace: WORKSPACE.to_owned(),
                tty: record.run.tty,
                stdin: record.run.stdin,
                token: (!token.is_empty())
                    .then(|| Token { path: TOKEN_PATH.to_owned(), content: token.expose().to_owned() }),
                network: if record.network { Network::User } else { Network::None },
                pids_limit: record.run.pids_limit,
                // Set when it is sent.
                now_ms: 0,
            },
        };
        let machine = self.host.boot(boot).await.map_err(failed)?;
        let ran_before = record.ended.is_some();
        self.look_after(id, record, machine)?;
        if ran_before && let Some(known) = self.table.known(id) {
            self.save(id, known.record).await;
        }
        self.touched(id);
        self.tell(
            id,
            said(SOURCE, Kind::Normal, "Booting", format!("the machine boots under {accelerator}")),
        );
        Ok(())
    }

    /// Where the gateway waits for the sandbox's supervisor. One that was made with a supervisor and whose driver was then
    /// started without runs as one that never had any.
    fn door(&self, id: &SandboxId, record: &Record) -> Option<PathBuf> {
        match self.context.supervisor.as_ref().filter(|_| record.supervised)? {
            SupervisorDelivery::Host { sockets, .. } => {
                Some(sockets.join(id.as_str()).join(supervisor::SOCKET))
            }
            SupervisorDelivery::Network { .. } => None,
        }
    }

    /// Gives a machine a task that looks after it to its end.
    fn look_after(
        self: &Arc<Self>,
        id: &SandboxId,
        record: Record,
        machine: Machine,
    ) -> Result<(), DriverError> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = tasks.as_mut() else {
            let message = "the driver is ending";
            return Err(DriverError::new(ErrorKind::Unavailable, "start machine", message));
        };
        // Those of machines that are gone would otherwise pile up.
        while tasks.try_join_next().is_some() {}
        let gone = self.table.booting(id, record, machine.handle());
        tasks.spawn(follow(Arc::clone(self), id.clone(), machine, gone));
        Ok(())
    }

    /// Notes how a machine ended, and keeps it.
    async fn ended(&self, id: &SandboxId, end: &crate::machine::End) {
        let Some(record) = self.table.ended(id, end) else { return };
        tracing::info!(sandbox = %id, cause = ?end.cause, message = end.message, "the machine ended");
        self.save(id, record).await;
        self.touched(id);
    }

    pub(crate) async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let _turn = self.locks.turn(id).await;
        if self.table.known(id).is_none() {
            return Err(DriverError::not_found("stop sandbox", id));
        }
        if let Some(live) = self.table.live(id) {
            self.table.stopping(id);
            self.touched(id);
            live.handle.stop(self.config.stop_timeout);
            live.gone().await;
        }
        // One that had ended by itself is stopped from now on.
        if let Some(record) = self.table.stopped(id) {
            self.save(id, record).await;
            self.touched(id);
        }
        Ok(())
    }

    pub(crate) async fn start(self: &Arc<Self>, id: &SandboxId) -> Result<(), DriverError> {
        let _turn = self.locks.turn(id).await;
        let known = self.table.known(id).ok_or_else(|| DriverError::not_found("start sandbox", id))?;
        match known.phase {
            Phase::Ended(_) => self.boot(id, known.record).await,
            // It runs, or is about to; nobody stops it while this one has the turn.
            Phase::Preparing | Phase::Booting | Phase::Running | Phase::Stopping => Ok(()),
        }
    }

    /// Asks every machine to end, and kills what has not ended in time. Nothing is started from here on.
    pub(crate) async fn shutdown(&self, within: Duration) {
        let Some(tasks) = self.close() else { return };
        let live = self.table.all_live();
        let asking = within.saturating_sub(LAST);
        for (id, live) in &live {
            self.table.stopping(id);
            live.handle.stop(self.config.stop_timeout.min(asking));
        }
        let all_gone = || join_all(live.iter().map(|(_, live)| live.clone().gone()));
        if tokio::time::timeout(asking, all_gone()).await.is_err() {
            for (_, live) in &live {
                live.handle.kill();
            }
            let _ = tokio::time::timeout(LAST, all_gone()).await;
        }
        drop(tasks);
    }
}

/// What a guest is told of its supervisor, which starts the sandbox's main process as the sandbox's user.
fn supervisor_of(record: &Record) -> Supervisor {
    let run = &record.run;
    // A command of the request's own it knows from its environment.
    let told = run.environment.iter().find(|(name, _)| name == environment::MAIN_PROCESS_SPEC);
    let told = told.and_then(|(_, spec)| environment::read_main_process_spec(spec).ok());
    let of_the_image = if told.is_some_and(|(command, _)| !command.is_empty()) { &[][..] } else { &run.argv };
    let mut command =
        supervisor::command_line(supervisor::PROGRAM, &run.user, &run.working_dir, 0, of_the_image);
    // After the program and what it is to do: every start of the machine writes the token anew.
    command.insert(2, "--forget-token".to_owned());
    Supervisor {
        program: supervisor::PROGRAM.to_owned(),
        socket: format!("{}/{}", supervisor::GATEWAY_DIR, supervisor::SOCKET),
        command,
    }
}

/// Follows a machine to its end. Dropped before that, it takes the machine with it.
async fn follow(inner: Arc<Inner>, id: SandboxId, mut machine: Machine, gone: watch::Sender<()>) {
    while let Some(event) = machine.events.recv().await {
        match event {
            Event::Started => {
                inner.table.running(&id);
                inner.touched(&id);
                inner.tell(&id, said(SOURCE, Kind::Normal, "Started", "the main process runs"));
            }
            Event::Exited => {}
            Event::Silent => {
                let text = format!("the guest has not answered for {} s", inner.config.hang_after.as_secs());
                inner.tell(&id, said(SOURCE, Kind::Warning, "GuestSilent", text));
            }
            Event::Ended(end) => inner.ended(&id, &end).await,
        }
    }
    drop(gone);
}
