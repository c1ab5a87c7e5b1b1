//! What a case works with: sandboxes of its own, calls that are bounded, waits that say what they wait for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use openshell_proto::compute::v1::{
    self as wire, DriverResourceRequirements, DriverSandbox, DriverSandboxSpec, DriverSandboxTemplate,
};
use tokio::time::Instant;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Response, Status};

use crate::bytes::Bytes;
use crate::case::{Checked, Level, failed, skipped};
use crate::cases;
use crate::client::{self, Client, MAX_MESSAGE};
use crate::session::Session;
use crate::state;

/// What every token of these sandboxes begins with; it must never come back.
const TOKEN: &str = "conformance-token-";
/// Between two looks, growing from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// An answer, or the driver's refusal.
pub(crate) type Answer<T> = Result<T, Status>;

/// A case's surroundings.
pub(crate) struct Ctx {
    pub(crate) session: Arc<Session>,
    /// The case that runs.
    case: &'static str,
    /// Ids that may have been made, to be removed again.
    made: Mutex<Vec<String>>,
}

impl Ctx {
    pub(crate) fn new(session: &Arc<Session>, case: &'static str) -> Self {
        Self { session: Arc::clone(session), case, made: Mutex::new(Vec::new()) }
    }

    /// Skips this case when one of those that it builds on failed: one cause is one failure, and nothing waits for what is
    /// known never to come. Only required cases are named here, so that no skip makes a run good.
    pub(crate) fn needs(&self, ids: &[&'static str]) -> Checked {
        let is_required = |id: &str| cases::all().any(|case| case.id == id && case.level == Level::Required);
        debug_assert!(ids.iter().all(|id| is_required(id)), "{ids:?}: no required case is called so");
        match ids.iter().find(|id| **id != self.case && self.session.has_failed(id)) {
            Some(id) => skipped(format!("it builds on `{id}`, which failed")),
            None => Ok(()),
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.session.options.timeout
    }

    pub(crate) fn quiet(&self) -> Duration {
        self.session.options.quiet
    }

    pub(crate) fn client(&self) -> Client {
        client::client(self.session.channel.clone())
    }

    /// Waits for an answer, and not for ever.
    pub(crate) async fn bounded<T>(
        &self,
        method: &str,
        asked: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Checked<Answer<T>> {
        match tokio::time::timeout(self.timeout(), asked).await {
            Ok(answer) => Ok(answer.map(Response::into_inner)),
            Err(_) => failed(format!("`{method}` was not answered within {:?}", self.timeout())),
        }
    }

    /// As [`bounded`](Self::bounded), for a method that a driver may go without.
    async fn optional<T>(
        &self,
        method: &str,
        asked: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Checked<Answer<()>> {
        match self.bounded(method, asked).await? {
            Err(status) if status.code() == Code::Unimplemented => {
                skipped(format!("`{method}` is UNIMPLEMENTED"))
            }
            answer => Ok(answer.map(|_| ())),
        }
    }

    /// A sandbox to ask for; nothing is made yet. Whatever id it has is removed at the end of the case.
    pub(crate) fn sandbox(&self) -> Checked<DriverSandbox> {
        let options = &self.session.options;
        let image = options.image.clone().unwrap_or_default();
        if image.is_empty() && self.session.capabilities.default_image.is_empty() {
            return skipped("the driver has no default image: give one with --image");
        }
        let (id, name) = self.session.id_and_name();
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        Ok(DriverSandbox {
            spec: Some(DriverSandboxSpec {
                template: Some(DriverSandboxTemplate { image, ..DriverSandboxTemplate::default() }),
                sandbox_token: format!("{TOKEN}{id}"),
                command: options.command.clone(),
                ..DriverSandboxSpec::default()
            }),
            id,
            name,
            workspace: "default".to_owned(),
            ..DriverSandbox::default()
        })
    }

    /// The same with CPU and memory.
    pub(crate) fn sandbox_with(&self, resources: DriverResourceRequirements) -> Checked<DriverSandbox> {
        let mut sandbox = self.sandbox()?;
        if let Some(template) = sandbox.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
            template.resources = Some(resources);
        }
        Ok(sandbox)
    }

    /// An id that no sandbox has.
    pub(crate) fn unused_id(&self) -> String {
        self.session.id_and_name().0
    }

    pub(crate) async fn try_create(&self, sandbox: Option<DriverSandbox>) -> Checked<Answer<()>> {
        self.needs(&["lifecycle.create"])?;
        let mut client = self.client();
        let asked = client.create_sandbox(wire::CreateSandboxRequest { sandbox });
        Ok(self.bounded("CreateSandbox", asked).await?.map(|_| ()))
    }

    /// Makes a sandbox that has to be made.
    pub(crate) async fn create(&self, sandbox: &DriverSandbox) -> Checked {
        must("CreateSandbox", self.try_create(Some(sandbox.clone())).await?)
    }

    /// Makes one, which need not run yet.
    pub(crate) async fn made(&self) -> Checked<DriverSandbox> {
        let sandbox = self.sandbox()?;
        self.create(&sandbox).await?;
        Ok(sandbox)
    }

    /// Makes one, and waits until it runs; gives what the driver says of it.
    pub(crate) async fn running(&self) -> Checked<(DriverSandbox, DriverSandbox)> {
        let asked = self.made().await?;
        let observed = self.wait_ready(&asked.id).await?;
        Ok((asked, observed))
    }

    pub(crate) async fn wait_ready(&self, id: &str) -> Checked<DriverSandbox> {
        self.needs(&["errors.ready-condition", "lifecycle.create-ready"])?;
        self.wait_for(id, "Ready=True", state::is_ready).await
    }

    /// Makes several, and waits until all run: they start side by side.
    pub(crate) async fn several_running(&self, count: usize) -> Checked<Vec<DriverSandbox>> {
        let mut asked = Vec::new();
        for _ in 0..count {
            asked.push(self.made().await?);
        }
        for sandbox in &asked {
            self.wait_ready(&sandbox.id).await?;
        }
        Ok(asked)
    }

    /// Makes one, and stops it once it runs.
    pub(crate) async fn stopped(&self) -> Checked<(DriverSandbox, DriverSandbox)> {
        self.needs(&["lifecycle.stopped-there", "lifecycle.stop"])?;
        let (asked, observed) = self.running().await?;
        self.stop(&asked.id).await?;
        self.wait_for(&asked.id, "a stop", state::is_stopped).await?;
        Ok((asked, observed))
    }

    pub(crate) async fn validate(&self, sandbox: Option<DriverSandbox>) -> Checked<Answer<()>> {
        self.needs(&["validation.plain", "validation.same-answer"])?;
        let mut client = self.client();
        let asked = client.validate_sandbox_create(wire::ValidateSandboxCreateRequest { sandbox });
        Ok(self.bounded("ValidateSandboxCreate", asked).await?.map(|_| ()))
    }

    /// Asks for one, by whatever is not empty.
    pub(crate) async fn try_get(&self, id: &str, name: &str) -> Checked<Answer<Option<DriverSandbox>>> {
        if name.is_empty() && !id.is_empty() {
            self.needs(&["identity.id-alone"])?;
        }
        let mut client = self.client();
        let request = wire::GetSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        Ok(self.bounded("GetSandbox", client.get_sandbox(request)).await?.map(|answer| answer.sandbox))
    }

    /// Asks for one that has to be there, in a moment at the latest.
    pub(crate) async fn get(&self, id: &str) -> Checked<DriverSandbox> {
        self.wait_for(id, "being there", |_| true).await
    }

    /// Whether a get knows the sandbox.
    pub(crate) async fn is_known(&self, id: &str) -> Checked<bool> {
        self.needs(&["identity.unknown-get"])?;
        match self.try_get(id, "").await? {
            Ok(sandbox) => Ok(sandbox.is_some()),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => failed(said("GetSandbox", &status)),
        }
    }

    pub(crate) async fn list(&self) -> Checked<Vec<DriverSandbox>> {
        self.needs(&["lifecycle.list"])?;
        let mut client = self.client();
        let asked = client.list_sandboxes(wire::ListSandboxesRequest {});
        Ok(must("ListSandboxes", self.bounded("ListSandboxes", asked).await?)?.sandboxes)
    }

    /// Whether a list has the sandbox.
    pub(crate) async fn is_listed(&self, id: &str) -> Checked<bool> {
        self.needs(&["identity.list-id"])?;
        Ok(self.list().await?.iter().any(|sandbox| sandbox.id == id))
    }

    /// Waits until a list has the sandbox.
    pub(crate) async fn wait_listed(&self, id: &str) -> Checked {
        let began = Instant::now();
        let mut pause = PAUSE.0;
        while !self.is_listed(id).await? {
            if began.elapsed() > self.timeout() {
                return failed(format!("`{id}` is not in the list within {:?}", self.timeout()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        Ok(())
    }

    pub(crate) async fn try_stop(&self, id: &str, name: &str) -> Checked<Answer<()>> {
        let mut client = self.client();
        let request = wire::StopSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        self.optional("StopSandbox", client.stop_sandbox(request)).await
    }

    pub(crate) async fn stop(&self, id: &str) -> Checked {
        must("StopSandbox", self.try_stop(id, "").await?)
    }

    pub(crate) async fn try_start(&self, id: &str, name: &str) -> Checked<Answer<()>> {
        let mut client = self.client();
        let request = wire::StartSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        self.optional("StartSandbox", client.start_sandbox(request)).await
    }

    pub(crate) async fn start(&self, id: &str) -> Checked {
        self.needs(&["lifecycle.start"])?;
        must("StartSandbox", self.try_start(id, "").await?)
    }

    pub(crate) async fn try_delete(&self, id: &str, name: &str) -> Checked<Answer<bool>> {
        let mut client = self.client();
        let request = wire::DeleteSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() };
        Ok(self.bounded("DeleteSandbox", client.delete_sandbox(request)).await?.map(|answer| answer.deleted))
    }

    /// Deletes one; whether something was there.
    pub(crate) async fn delete(&self, id: &str) -> Checked<bool> {
        must("DeleteSandbox", self.try_delete(id, "").await?)
    }

    pub(crate) async fn try_ensure_workspace(&self, workspace: &str) -> Checked<Answer<()>> {
        let mut client = self.client();
        let request = wire::EnsureWorkspaceRequest { workspace: workspace.to_owned() };
        self.optional("EnsureWorkspace", client.ensure_workspace(request)).await
    }

    pub(crate) async fn try_delete_workspace(&self, workspace: &str) -> Checked<Answer<()>> {
        let mut client = self.client();
        let request = wire::DeleteWorkspaceRequest { workspace: workspace.to_owned() };
        self.optional("DeleteWorkspace", client.delete_workspace(request)).await
    }

    /// Asks with bytes and gets bytes: `method` of the contract, or of another service by its whole path.
    pub(crate) async fn raw(&self, method: &str, message: Vec<u8>) -> Checked<Answer<Vec<u8>>> {
        let path = match method.starts_with('/') {
            true => method.to_owned(),
            false => format!("/openshell.compute.v1.ComputeDriver/{method}"),
        };
        let Ok(path) = PathAndQuery::try_from(path) else { return failed(format!("`{method}` is no path")) };
        let mut grpc =
            tonic::client::Grpc::new(self.session.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let asked = async move {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(Request::new(message), path, Bytes).await
        };
        self.bounded(method, asked).await
    }

    /// Waits until the sandbox is as `wanted` says.
    pub(crate) async fn wait_for(
        &self,
        id: &str,
        what: &str,
        wanted: impl Fn(&DriverSandbox) -> bool,
    ) -> Checked<DriverSandbox> {
        let began = Instant::now();
        let mut pause = PAUSE.0;
        loop {
            let last = match self.try_get(id, "").await? {
                Ok(Some(sandbox)) if wanted(&sandbox) => return Ok(sandbox),
                Ok(Some(sandbox)) => match state::terminal(&sandbox) {
                    // What will never run by waiting is not waited for; a stop may still show.
                    Some(reason) if what == "Ready=True" => {
                        return failed(format!("the sandbox will not become ready: {reason}"));
                    }
                    _ => state::shown(&sandbox),
                },
                Ok(None) => "an answer without a sandbox".to_owned(),
                // It may be a moment late; that it is not is a case of its own.
                Err(status) if status.code() == Code::NotFound => "NOT_FOUND".to_owned(),
                Err(status) => return failed(said("GetSandbox", &status)),
            };
            if began.elapsed() > self.timeout() {
                return failed(format!("waited {:?} for {what}, last seen: {last}", self.timeout()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Waits until neither a get nor a list knows the sandbox.
    pub(crate) async fn wait_gone(&self, id: &str) -> Checked {
        self.needs(&["lifecycle.delete"])?;
        let began = Instant::now();
        let mut pause = PAUSE.0;
        while self.is_known(id).await? || self.is_listed(id).await? {
            if began.elapsed() > self.timeout() {
                return failed(format!("`{id}` is still there {:?} after its delete", self.timeout()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        Ok(())
    }

    /// Removes whatever the case made. What that comes to is the last case's to say.
    pub(crate) async fn clean_up(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(made.iter().map(|id| self.remove(id))).await;
    }

    async fn remove(&self, id: &str) {
        // A driver that refuses to delete what is stopped gets it back running.
        if let Ok(Err(_)) = self.try_delete(id, "").await {
            let _ = self.try_start(id, "").await;
            let _ = self.wait_ready(id).await;
            let _ = self.try_delete(id, "").await;
        }
    }
}

/// Takes an answer that has to be good.
pub(crate) fn must<T>(method: &str, answer: Answer<T>) -> Checked<T> {
    answer.or_else(|status| failed(said(method, &status)))
}

/// Fails unless the answer is a refusal with one of these codes; gives it.
pub(crate) fn must_refuse<T>(method: &str, answer: Answer<T>, codes: &[Code]) -> Checked<Status> {
    let wanted = || codes.iter().map(|code| name(*code)).collect::<Vec<_>>().join(" or ");
    match answer {
        Err(status) if codes.contains(&status.code()) => Ok(status),
        Err(status) => failed(format!("{} instead of {}", said(method, &status), wanted())),
        Ok(_) => failed(format!("`{method}` answered OK instead of {}", wanted())),
    }
}

/// What a refusal says.
pub(crate) fn said(method: &str, status: &Status) -> String {
    let message: String = status.message().chars().take(300).collect();
    match message.is_empty() {
        true => format!("`{method}` answered {} without a message", name(status.code())),
        false => format!("`{method}` answered {} (`{message}`)", name(status.code())),
    }
}

/// A code as gRPC writes it.
pub(crate) fn name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() && code != Code::Ok {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_grpc_writes_them() {
        assert_eq!(name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(name(Code::Ok), "OK");
        assert_eq!(said("Get", &Status::not_found("")), "`Get` answered NOT_FOUND without a message");
    }
}
