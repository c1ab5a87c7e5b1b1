//! The driver that was selected, opened in process, started, or dialled at its socket, and how long it may take for what.

use std::path::PathBuf;
use std::sync::Arc;

use openshell_core::Environment;
use openshell_core::catalog::{Arm, Catalog};
use openshell_core::config::DriverTable;
use openshell_core::identity::GatewayId;
use openshell_core::selection::How;
use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{ComputeDriver, DialRequest, DriverContext, DriverError, ErrorKind, SocketPolicy};
use openshell_runtime::{Deadlines, Reach};

use crate::error::StartError;
use crate::plan::Plan;
use crate::sandboxes;

/// Opens the driver; `delivery` is what it puts into sandboxes.
///
/// # Errors
/// Why it does not start.
pub(crate) async fn open(
    catalog: &Catalog,
    env: &Environment,
    plan: &Plan,
    gateway_id: &GatewayId,
    delivery: Option<SupervisorDelivery>,
) -> Result<Arc<dyn ComputeDriver>, StartError> {
    let Plan { settings, selection, table, program, .. } = plan;
    let name = selection.name.to_string();
    let failed = |source| StartError::Driver { name: name.clone(), source: Box::new(source) };
    if let How::Socket { path } = &selection.how {
        // Selection has refused a socket in a build without a dialer.
        let dialer = catalog.dialer.ok_or_else(|| {
            failed(DriverError::new(
                ErrorKind::Unimplemented,
                "dial the driver",
                "this build has nothing that dials a driver's socket",
            ))
        })?;
        return dialer.dial(dial_request(&name, path.clone(), table)).await.map_err(failed);
    }
    let context = DriverContext {
        name: name.clone(),
        gateway_id: gateway_id.as_str().to_owned(),
        state_dir: settings.state_dir.join("drivers").join(selection.name.key()),
        telemetry: settings.telemetry.is_enabled(),
        endpoint: sandboxes::endpoint(delivery.as_ref()),
        supervisor: delivery,
    };
    if let Some(program) = program {
        let request = program.request(env, settings, table, context, gateway_id)?;
        return program.launcher().launch(request).await.map_err(failed);
    }
    match (catalog.arm)(selection.name.key()) {
        Some(Arm::Crate { registration, .. }) => {
            registration.factory.open(context, &table.own).await.map_err(failed)
        }
        Some(Arm::Process { .. } | Arm::Socket { .. }) | None => Err(failed(DriverError::new(
            ErrorKind::Internal,
            "open the driver",
            "the selection named a driver that this build does not have",
        ))),
    }
}

fn dial_request(name: &str, path: PathBuf, table: &DriverTable) -> DialRequest {
    DialRequest {
        name: name.to_owned(),
        path,
        policy: SocketPolicy {
            allowed_uids: table.allowed_uids.clone(),
            allowed_gids: table.allowed_gids.clone(),
        },
        connect_timeout: table.connect_timeout,
        longest_call: table.deadlines.longest(),
    }
}

/// How the selected driver is reached, for those who ask.
pub(crate) fn reach(plan: &Plan) -> Reach {
    match &plan.selection.how {
        How::Socket { path } => Reach::Socket { path: path.clone() },
        How::CompiledIn if plan.program.is_some() => Reach::Process,
        How::CompiledIn => Reach::InProcess,
    }
}

/// The deadlines of the table, as the runtime names them.
pub(crate) fn deadlines(table: &DriverTable) -> Deadlines {
    let given = &table.deadlines;
    Deadlines {
        capabilities: given.capabilities,
        listeners: given.listeners,
        validate: given.validate,
        get: given.get,
        list: given.list,
        watch: given.watch,
        create: given.create,
        start: given.start,
        stop: given.stop,
        delete: given.delete,
        ensure_workspace: given.ensure_workspace,
        delete_workspace: given.delete_workspace,
        ..Deadlines::default()
    }
}
