//! From a request to what will be kept of it: pure, and every fault at once.

use std::collections::BTreeMap;

use openshell_driver_api::{DriverContext, DriverError, SandboxRequest, environment, labels};
use openshell_driver_common::container::files::{TOKEN_PATH, WORKSPACE};
use openshell_driver_common::container::image as reference;
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::container::posture::is_host_name;
use openshell_driver_common::faults::Faults;
use openshell_driver_common::fields::Fields;
use openshell_driver_common::operations::now_ms;
use openshell_vm_init::protocol::{self, MAX_FRAME};

use crate::config::{Config, LEAST_DISK, Network, network};
use crate::image::{Images, Runs};
use crate::record::{Record, Run};
use crate::resources::{HostSize, Size};

/// The keys of the driver's block in a request.
const KEYS: [&str; 2] = ["disk_size", "network"];
/// What the variables of an image may add to a request's own before a guest would refuse them.
const ROOM_FOR_IMAGE: usize = 128 << 10;

/// What a request is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) config: &'a Config,
    pub(crate) context: &'a DriverContext,
    pub(crate) images: &'a Images,
    pub(crate) host: HostSize,
}

/// A request that has been found possible, as far as that can be said before it is tried.
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Plan {
    /// All but what the image says.
    record: Record,
    /// Ours, the request's and the template's, which win over the image's.
    environment: BTreeMap<String, String>,
}

impl Judge<'_> {
    /// Checks a request.
    ///
    /// # Errors
    /// `InvalidArgument` with everything that is wrong with the request.
    pub(crate) fn plan(&self, request: &SandboxRequest) -> Result<Plan, DriverError> {
        let (spec, template) = (&request.spec, &request.spec.template);
        let mut faults = Faults::default();
        let scope = Scope { gateway_id: self.context.gateway_id.clone() };
        if !scope.fits(&request.id) {
            faults.add("the sandbox id is too long for the name of a directory");
        }
        let image = self.image(&template.image, &mut faults);
        if spec.command.first().is_some_and(String::is_empty) {
            faults.add("command: the program's name is empty");
        }
        if spec.command.iter().any(|word| word.contains('\0')) {
            faults.add("command: a word holds a NUL");
        }
        if !template.agent_socket_path.is_empty() {
            faults.add("agent_socket: the vm driver puts no socket into a sandbox");
        }
        if spec.gpu.is_some() {
            faults.add("gpu: the vm driver has no GPU to give to a machine");
        }
        for key in template.platform_config.keys() {
            faults.add(format!("platform_config.{}: the vm driver reads no such key", key.escape_debug()));
        }
        let mut fields = Fields::new("driver_config", &template.driver_config, &mut faults);
        fields.refuse_unknown(&KEYS);
        let disk_size = self.disk_size(&mut fields);
        let network = self.network(&mut fields);
        let Size { cpus, memory } = Size::read(&template.resources, self.config, &self.host, &mut faults);
        let environment = faults.take(environment::of(request, self.context, TOKEN_PATH)).unwrap_or_default();
        let run = Run {
            argv: spec.command.clone(),
            environment: Vec::new(),
            user: self.config.user.clone().unwrap_or_default(),
            working_dir: WORKSPACE.to_owned(),
            hostname: if is_host_name(&request.name) { request.name.clone() } else { String::new() },
            tty: spec.tty,
            stdin: spec.tty,
            pids_limit: self.config.pids_limit.into(),
        };
        if !fits_a_frame(&run.argv, &environment) {
            faults.add("the command and the environment together are longer than a machine is told");
        }
        faults.into_result()?;
        let record = Record {
            version: Record::VERSION,
            id: request.id.as_str().to_owned(),
            name: request.name.clone(),
            workspace: request.workspace.clone(),
            labels: labels::of(request, &self.context.gateway_id),
            created_ms: now_ms(),
            image,
            digest: String::new(),
            disk_size,
            cpus,
            memory,
            network: network == Network::User,
            supervised: self.context.supervisor.is_some(),
            run,
            ended: None,
        };
        Ok(Plan { record, environment })
    }

    fn image(&self, asked: &str, faults: &mut Faults) -> String {
        let image = if asked.is_empty() { &self.config.default_image } else { asked };
        if image.is_empty() {
            faults.add(
                "no image is named: name one (`openshell sandbox create --image IMAGE`), or set `default_image` in \
                 `[openshell.drivers.vm]`",
            );
        } else if let Err(problem) = reference::check(image) {
            faults.add(format!("image: `{image}` {problem}"));
        } else {
            faults.take(self.images.check(image));
        }
        image.to_owned()
    }

    /// The operator's size is the most: a disk is the host's.
    fn disk_size(&self, fields: &mut Fields<'_>) -> u64 {
        let most = self.config.disk_size;
        let Some(size) = fields.bytes("disk_size").and_then(|size| u64::try_from(size).ok()) else {
            return most;
        };
        if size < LEAST_DISK {
            fields.fault("disk_size", format!("`{size}` bytes are less than the least, {LEAST_DISK}"));
        } else if size > most {
            fields.fault(
                "disk_size",
                format!("`{size}` bytes are above `disk_size` of `[openshell.drivers.vm]`, {most}"),
            );
        }
        size
    }

    /// Less than the operator's network is always allowed, another one when it is listed.
    fn network(&self, fields: &mut Fields<'_>) -> Network {
        let configured = self.config.network;
        let Some(text) = fields.text("network") else { return configured };
        match network(&text) {
            Ok(Network::None) => Network::None,
            Ok(asked) if asked == configured || self.config.networks.contains(&asked) => asked,
            Ok(_) => {
                fields.fault(
                    "network",
                    format!(
                        "`{text}` is neither `none`, nor the configured network, nor one of `networks` of \
                         `[openshell.drivers.vm]`"
                    ),
                );
                configured
            }
            Err((problem, _)) => {
                fields.fault("network", format!("`{}` {problem}", text.escape_debug()));
                configured
            }
        }
    }
}

impl Plan {
    /// The image's reference, the default filled in.
    pub(crate) fn image(&self) -> &str {
        &self.record.image
    }

    /// How large the disk is, in bytes.
    pub(crate) fn disk_size(&self) -> u64 {
        self.record.disk_size
    }

    /// What is told of the sandbox while its image is made ready, and nothing is kept yet.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// What will be kept, once the image has said how it is run.
    pub(crate) fn keep(self, digest: &str, image: &Runs) -> Record {
        let Self { mut record, environment } = self;
        record.digest = digest.to_owned();
        let run = &mut record.run;
        if run.argv.is_empty() {
            run.argv = image.entrypoint.iter().chain(&image.cmd).cloned().collect();
            // A shell with nothing to read from would end at once.
            run.stdin = true;
            // An image's own command may be relative to its own directory.
            if !run.argv.is_empty() {
                run.working_dir.clone_from(&image.working_dir);
            }
        }
        if run.user.is_empty() {
            run.user.clone_from(&image.user);
        }
        let split = |variable: &String| {
            let (name, value) = variable.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let mut variables: BTreeMap<String, String> = image.env.iter().filter_map(split).collect();
        variables.extend(environment);
        run.environment = variables.into_iter().collect();
        record
    }
}

/// Whether a guest can be told all of it in one frame, with room for what its image adds.
fn fits_a_frame(argv: &[String], environment: &BTreeMap<String, String>) -> bool {
    let spec = protocol::Spec {
        argv: argv.to_vec(),
        env: environment.clone().into_iter().collect(),
        ..protocol::Spec::default()
    };
    protocol::encode(&protocol::ToGuest::Spec(Box::new(spec)))
        .is_ok_and(|frame| frame.len() + ROOM_FOR_IMAGE <= MAX_FRAME)
}

#[cfg(test)]
mod tests;
