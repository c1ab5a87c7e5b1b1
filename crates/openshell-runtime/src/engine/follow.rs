//! The watch of the driver: subscribe, compare the whole, follow the changes; on any end, all of it again.
//!
//! The subscription comes before the list, so that what changes in between is in the stream. A row that the list does
//! not have is asked for by its id before anything follows from it, and so is one that a driver tells of by its name.
//! What the backend has and the store has not, an orphan, is logged and left alone: a store that was restored from a
//! backup must not cost anybody a sandbox.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_driver_api::{DriverError, ErrorKind, ObservedSandbox, PlatformEvent, SandboxId, WatchEvent};

use super::{Changed, Engine, Fate, Link, Trace};
use crate::driver::Events;
use crate::lifecycle::Phase;
use crate::names;
use crate::said;
use crate::store::{Db, Record, StoreError};

/// How many reports, of a list or of a stream, are stored in one transaction at most.
const BATCH: usize = 200;
/// How long a watch has to be up so that the next pause is the shortest again.
const HELD: Duration = Duration::from_secs(5);
/// The longest pause between two looks for a driver that is away.
const AWAY: Duration = Duration::from_millis(400);
/// How a failure of the watch is called where it had been open.
const WATCH: &str = "watch";
/// The most listeners of a driver that the log tells.
const LISTENERS: usize = 16;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the driver ended it")]
    Clean,
    #[error("the driver failed")]
    Driver(#[from] DriverError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// What the backend said of a sandbox.
enum Said {
    State(ObservedSandbox),
    Event(SandboxId, PlatformEvent),
}

/// What there is to tell of it once it is stored.
enum Told {
    State(Box<Trace>),
    Event(SandboxId, PlatformEvent),
}

/// What is remembered from one session to the next.
struct Memory {
    /// The phases before the next look at the backend; none while it is looked at.
    before: Option<Before>,
    /// What was logged as an orphan.
    orphans: HashSet<SandboxId>,
}

/// What there was before a look at the backend that may show that something fell over meanwhile.
enum Before {
    /// The gateway itself was away.
    Start(HashMap<String, Phase>),
    /// The driver was: a program that was started anew has none of its machines any more, and says that they are stopped.
    Loss(HashMap<String, Phase>),
}

impl Engine {
    pub(super) async fn follow(self: Arc<Self>, before: HashMap<String, Phase>) {
        let mut memory = Memory { before: Some(Before::Start(before)), orphans: HashSet::new() };
        let (mut attempt, mut said) = (0, String::new());
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.session(&mut memory) => ended,
                () = self.stopped() => return,
            };
            let was_up = self.link.send_if_modified(|link| std::mem::replace(&mut link.up, false));
            self.counters().linked(false);
            if was_up {
                // A store that does not answer is told of by the next session.
                memory.before = self.phases().await.ok().map(Before::Loss);
            }
            // One that held has shown that the driver works; one that broke at once has not.
            if was_up && began.elapsed() >= HELD.min(self.settings.backoff.longest) {
                attempt = 0;
            }
            let pause = self.tell_end(&ended, was_up, attempt, &mut said);
            attempt += 1;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopped() => return,
            }
        }
    }

    /// Logs why a session ended, once where the next ones end in the same way, and says how long to wait for the next.
    fn tell_end(&self, ended: &Ended, was_up: bool, attempt: u32, said: &mut String) -> Duration {
        let mut pause = self.settings.backoff.pause(attempt);
        let mut says = ended.to_string();
        if let Ended::Driver(error) = ended {
            says = error.to_string();
            // Nobody answers: to find that out costs nobody anything, and whoever comes back is met soon.
            if !was_up && error.kind() == ErrorKind::Unavailable {
                pause = pause.min(AWAY);
            }
        }
        let (driver, error) = (&self.settings.driver_name, ended as &dyn Error);
        match was_up || says != *said {
            true => tracing::warn!(
                driver,
                error,
                ?pause,
                "the watch of the driver ended; coming back for the whole state"
            ),
            false => tracing::debug!(driver, error, ?pause, "the watch of the driver does not come up"),
        }
        *said = says;
        pause
    }

    /// The phase of every sandbox of this gateway's driver.
    pub(super) async fn phases(&self) -> Result<HashMap<String, Phase>, StoreError> {
        let driver = self.settings.driver_name.clone();
        Ok(self.store.read(move |db| db.phases(&driver)).await?.into_iter().collect())
    }

    /// One subscription, from its beginning to its end.
    async fn session(self: &Arc<Self>, memory: &mut Memory) -> Ended {
        match self.begin_session(memory).await {
            Ok(events) => {
                let ended = self.read_events(events).await;
                match &ended {
                    Ended::Clean => self.counters().failed(WATCH, 0, "the driver ended it without an error"),
                    Ended::Driver(error) => {
                        self.counters().failed(WATCH, error.kind().code(), error.message());
                    }
                    // Not the driver's doing.
                    Ended::Store(_) => {}
                }
                ended
            }
            Err(ended) => ended,
        }
    }

    async fn begin_session(self: &Arc<Self>, memory: &mut Memory) -> Result<Events, Ended> {
        // Another driver, or a newer one, may have come in place of the one that was asked before.
        self.counters().forget_support();
        self.forget_prepared();
        let capabilities = self.driver.capabilities().await?;
        let events = self.driver.watch().await?;
        let listed = self.resync(memory).await?;
        if let Some(before) = &memory.before
            && capabilities.gateway_manages_lifecycle
        {
            self.revive(before).await?;
        }
        // Only now: where the store failed, the next session has it all to do.
        memory.before = None;
        tracing::info!(
            driver = self.settings.driver_name,
            sandboxes = listed,
            "the watch of the driver is up"
        );
        self.link.send_replace(Link { up: true, capabilities });
        self.counters().linked(true);
        let engine = Arc::clone(self);
        // Nobody waits for it: only the log is told.
        self.spawn(async move { engine.ask_for_listeners().await });
        Ok(events)
    }

    /// Asks where the driver's sandboxes would have the gateway listen, and says that it does not.
    async fn ask_for_listeners(&self) {
        let asked = tokio::select! {
            asked = self.driver.listeners() => asked,
            () = self.stopped() => return,
        };
        match asked {
            Ok(wanted) if wanted.is_empty() => {}
            Ok(wanted) => {
                let wanted: Vec<String> = wanted.iter().take(LISTENERS).map(said::listener).collect();
                tracing::debug!(
                    driver = self.settings.driver_name,
                    ?wanted,
                    "the driver names listeners for its sandboxes, and this gateway opens none for it"
                );
            }
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(
                    driver = self.settings.driver_name,
                    error,
                    "the driver does not say where to listen"
                );
            }
        }
    }

    /// Takes what comes, as much at once as has come already: many events are one transaction, a single one does not
    /// wait for another.
    async fn read_events(self: &Arc<Self>, mut events: Events) -> Ended {
        let mut next = events.next().await;
        loop {
            let (mut batch, came) = (Vec::new(), Instant::now());
            let ended = loop {
                match next {
                    Some(Ok(event)) => batch.push(event),
                    Some(Err(error)) => break Some(error.into()),
                    None => break Some(Ended::Clean),
                }
                if batch.len() == BATCH {
                    break None;
                }
                match events.next_ready() {
                    Some(come) => next = come,
                    None => break None,
                }
            };
            let any = !batch.is_empty();
            if let Err(error) = self.take_events(batch).await {
                return error.into();
            }
            if any {
                self.counters().told(came.elapsed());
            }
            if let Some(ended) = ended {
                return ended;
            }
            next = events.next().await;
        }
    }

    /// Stores and tells events in their order.
    async fn take_events(self: &Arc<Self>, batch: Vec<WatchEvent>) -> Result<(), StoreError> {
        let mut reports = Vec::new();
        for event in batch {
            self.counters().event();
            match event {
                WatchEvent::Sandbox(observed) => reports.push(Said::State(observed)),
                WatchEvent::Platform { id, event } => reports.push(Said::Event(id, event)),
                WatchEvent::Deleted(id) => {
                    self.take_reports(std::mem::take(&mut reports)).await?;
                    for id in self.namesakes(&id).await?.into_iter().chain([id]) {
                        self.missing(id).await?;
                    }
                }
            }
        }
        self.take_reports(reports).await
    }

    /// Stores and tells reports; one that is of no id that there is may be of a name, and is no more than a hint then.
    async fn take_reports(self: &Arc<Self>, reports: Vec<Said>) -> Result<(), StoreError> {
        let unknown: HashSet<SandboxId> = self.observe(reports).await?.into_iter().collect();
        for id in unknown {
            for id in self.namesakes(&id).await? {
                self.missing(id).await?;
            }
        }
        Ok(())
    }

    /// The sandboxes that have for a name what a driver gives for an id: some drivers in the field take the one for the
    /// other. There may be one in each workspace, so that nothing follows from it but a question by the id.
    async fn namesakes(&self, id: &SandboxId) -> Result<Vec<SandboxId>, StoreError> {
        if names::check(id.as_str()).is_err() {
            return Ok(Vec::new());
        }
        let (driver, name) = (self.settings.driver_name.clone(), id.to_string());
        let ids = self.store.read(move |db| db.ids_by_name(&driver, &name)).await?;
        Ok(ids.into_iter().filter_map(|id| SandboxId::new(id).ok()).collect())
    }

    /// Compares the whole: everything that the backend has, and everything that it should have.
    async fn resync(self: &Arc<Self>, memory: &mut Memory) -> Result<usize, Ended> {
        let driver = self.settings.driver_name.clone();
        // Before the list: what is made from now on may be missing in it and be there.
        let made = self.store.read(move |db| db.made(&driver)).await?;
        let listed = self.driver.list().await?;
        let present: HashSet<SandboxId> = listed.iter().map(|observed| observed.id.clone()).collect();
        let count = listed.len();
        let mut listed = listed.into_iter().peekable();
        while listed.peek().is_some() {
            for id in self.observe(listed.by_ref().take(BATCH).map(Said::State).collect()).await? {
                // What goes by a name here is asked for below, as whatever was made and is not in the list.
                if !self.namesakes(&id).await?.is_empty() {
                    continue;
                }
                if memory.orphans.insert(id.clone()) {
                    tracing::warn!(
                        sandbox = %id,
                        "the backend has a sandbox of this gateway that the store does not know; it is left alone"
                    );
                }
            }
        }
        // What is gone by now may come back, and be news.
        memory.orphans.retain(|id| present.contains(id));
        for id in made {
            let id = SandboxId::new(id)?;
            if !present.contains(&id) {
                self.missing(id).await?;
            }
        }
        Ok(count)
    }

    /// Stores what was reported, by id alone, tells it in its order, and gives the ids that no row has. Where there is
    /// nothing to store the transaction costs no sync; it is the writer's all the same, so that nothing is told, and
    /// kept, of a sandbox whose end has been told.
    async fn observe(self: &Arc<Self>, said: Vec<Said>) -> Result<Vec<SandboxId>, StoreError> {
        if said.is_empty() {
            return Ok(Vec::new());
        }
        let (engine, teller) = (Arc::clone(self), Arc::clone(self));
        let job = move |db: &Db<'_>| {
            let (mut unknown, mut told) = (Vec::new(), Vec::new());
            for said in said {
                match said {
                    Said::State(ObservedSandbox { id, status, .. }) => {
                        let change = |record: &mut Record, now| {
                            record.life.observe(status, now);
                            (Fate::Stay, ())
                        };
                        let (changed, trace) = engine.change_in(db, id.as_str(), change)?;
                        told.extend(trace.map(|trace| Told::State(Box::new(trace))));
                        if matches!(changed, Changed::Absent) {
                            unknown.push(id);
                        }
                    }
                    // What is said of a sandbox that there is not is nobody's to hear, nor to be kept.
                    Said::Event(id, event) => {
                        let record = db.get(id.as_str())?;
                        if record.is_some_and(|record| record.driver == engine.settings.driver_name) {
                            told.push(Told::Event(id, event));
                        }
                    }
                }
            }
            Ok((unknown, told))
        };
        let after = move |(_, told): &(Vec<SandboxId>, Vec<Told>)| {
            for told in told {
                match told {
                    Told::State(trace) => teller.announce(Some(trace)),
                    Told::Event(id, event) => teller.hub.event_of(id.as_str(), event.clone()),
                }
            }
        };
        Ok(self.store.write(job, after).await?.0)
    }

    /// Starts again what should run and was found standing still, for drivers that leave that to the gateway. After a
    /// loss of the driver alone that is what ran until then and is stopped now: what ended with an error has ended, and
    /// what somebody stopped behind the gateway's back stays so until the gateway starts.
    async fn revive(self: &Arc<Self>, before: &Before) -> Result<(), StoreError> {
        let (before, gateway_was_away) = match before {
            Before::Start(before) => (before, true),
            Before::Loss(before) => (before, false),
        };
        for (id, phase) in before {
            let was_live = matches!(phase, Phase::Ready | Phase::Starting | Phase::Provisioning);
            let even_fallen_over = match (gateway_was_away, was_live) {
                (true, was_live) => was_live,
                (false, true) => false,
                (false, false) => continue,
            };
            let revive = move |record: &mut Record, now| {
                let owed = record.life.owed;
                record.life.revive(even_fallen_over, now);
                (Fate::Stay, owed != record.life.owed)
            };
            if let Changed::Done(record, true) = self.change(id, revive).await? {
                self.resume_one(&record);
            }
        }
        Ok(())
    }
}
