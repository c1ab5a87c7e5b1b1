//! What a gateway will do, decided from flags, variables and `gateway.toml` before anything is touched; and the report
//! of it, `check-config`.

use std::fmt::Write as _;

use openshell_core::catalog::Catalog;
use openshell_core::config::{DriverTable, IdentitySettings, Problem};
use openshell_core::detect::{self, Probes};
use openshell_core::selection::How;
use openshell_core::{Environment, GatewayArgs, Selection, Settings};
use openshell_front::Tls;

use crate::error::StartError;
use crate::program::Program;
use crate::supervisor::Supervisor;
use crate::{doors, front};

/// What was decided before anything is touched.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) selection: Selection,
    pub(crate) table: DriverTable,
    /// The program of a driver that is one.
    pub(crate) program: Option<Program>,
    /// What supervises the processes in its sandboxes; `None`: nobody.
    pub(crate) supervisor: Option<Supervisor>,
    /// The certificate of the TCP listener.
    pub(crate) tls: Option<Tls>,
    pub(crate) warnings: Vec<Problem>,
}

impl Plan {
    /// Reads the configuration and the files that it names, and chooses the driver.
    ///
    /// # Errors
    /// Every fault of the configuration, or why no driver can run.
    pub(crate) fn make(catalog: &Catalog, args: &GatewayArgs, env: &Environment) -> Result<Self, StartError> {
        let settings = Settings::load(args, env, catalog)?;
        let tls = doors::tls(&settings.front)?;
        front::check(&settings.front, env.uid()).map_err(StartError::Identities)?;
        let probes = if settings.sources.needs_detection() {
            detect::run(catalog, &env.for_probes())
        } else {
            Probes::default()
        };
        let selection = settings.select(catalog, &probes).map_err(|error| {
            let at = settings.place_of(&error).cloned().map(Box::new);
            StartError::Selection { error, at }
        })?;
        let table = settings.driver(&selection);
        let mut warnings = settings.warnings.clone();
        warnings.extend(settings.config.warnings(catalog, selection.name.key()));
        warnings.extend(unread(&selection, &table));
        let program = Program::prepare(catalog, &settings, &selection, &table, &mut warnings)?;
        let supervisor = Supervisor::prepare(catalog, &settings, &selection, &table, &mut warnings)?;
        Ok(Self { settings, selection, table, program, supervisor, tls, warnings })
    }

    /// What `check-config` says of it. Ends with a newline.
    fn report(&self) -> String {
        let mut out = String::new();
        for warning in &self.warnings {
            out.push_str(&warning.render("warning"));
        }
        for note in &self.selection.notes {
            let _ = writeln!(out, "note: {note}");
        }
        let _ = writeln!(out, "the configuration is fine");
        let _ = writeln!(out, "driver: {} ({})", self.selection.name, self.selection.because);
        if let How::Socket { path } = &self.selection.how {
            let _ = writeln!(out, "behind: {}", path.display());
        }
        if let Some(program) = &self.program {
            let _ = writeln!(out, "program: {}", program.path().display());
        }
        if let Some(supervisor) = &self.supervisor {
            let _ = writeln!(out, "supervisor: {supervisor}");
        }
        let mut listeners = listeners(&self.settings);
        if let Some(sandboxes) = self.supervisor.as_ref().and_then(Supervisor::network) {
            let address = format!("https://{}", sandboxes.address);
            listeners.push((address, format!("supervisors alone, which dial {}", sandboxes.endpoint)));
        }
        for (listener, authentication) in listeners {
            let _ = writeln!(out, "listens on: {listener} ({authentication})");
        }
        for identity in &self.settings.front.identities {
            let _ = writeln!(out, "identity: {}, {}: {}", identity.name, identity.role, known_by(identity));
        }
        let _ = writeln!(out, "database: {}", self.settings.database.display());
        out
    }
}

/// A warning for what is left in the table of a driver that is in this build and runs behind a socket: the program at the
/// other end has a configuration of its own.
fn unread(selection: &Selection, table: &DriverTable) -> Option<Problem> {
    let (How::Socket { path }, false) = (&selection.how, table.own.is_empty()) else { return None };
    let keys = table.own.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let (name, path) = (&selection.name, path.display());
    let message = format!("{keys} of `{name}` has no effect: it runs behind the socket `{path}`");
    let problem = match &table.location {
        Some(at) => Problem::at(at.clone(), message),
        None => Problem::new(message),
    };
    Some(problem.hint("give this to the configuration of the program that listens there"))
}

/// `check-config`: everything up to the selection, and what it came to.
///
/// # Errors
/// As a start would fail, as far as that can be told without touching anything.
pub(crate) fn check(catalog: &Catalog, args: &GatewayArgs, env: &Environment) -> Result<String, StartError> {
    Plan::make(catalog, args, env).map(|plan| plan.report())
}

/// Every listener, and how one gets in there.
fn listeners(settings: &Settings) -> Vec<(String, String)> {
    let front = &settings.front;
    let uids = front.uids();
    let owner = match uids.as_slice() {
        [] => "this user and root".to_owned(),
        uids => format!("this user, root, and the uids {uids:?}"),
    };
    let mut listeners = vec![(settings.listen_socket.display().to_string(), owner)];
    if let Some(tcp) = &front.tcp {
        let mut how = front.to_string();
        if front.takes_tokens() {
            let _ = write!(how, "; the gateway's own is in {}", front.token_path.display());
        }
        let port = if tcp.address.port() == 0 { "any free port: " } else { "" };
        let scheme = if tcp.tls.is_some() { "https" } else { "http" };
        listeners.push((format!("{port}{scheme}://{}", tcp.address), how));
    }
    if let Some(address) = front.health_address {
        listeners
            .push((format!("http://{address}"), "health and metrics alone, no authentication".to_owned()));
    }
    listeners
}

/// What an identity is known by, in words.
fn known_by(identity: &IdentitySettings) -> String {
    let IdentitySettings { token_path, certificate_name, certificate_sha256, uids, .. } = identity;
    let means = [
        token_path.as_ref().map(|path| format!("the token in {}", path.display())),
        certificate_name.as_ref().map(|name| format!("a certificate for `{name}`")),
        certificate_sha256.map(|_| "a certificate's fingerprint".to_owned()),
        (!uids.is_empty()).then(|| format!("the uids {uids:?}")),
    ];
    means.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
