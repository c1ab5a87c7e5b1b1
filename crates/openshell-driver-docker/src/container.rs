//! From a request to the body that makes its container: pure, and the one place where the posture is written down.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    RestartPolicy, RestartPolicyNameEnum,
};
use openshell_driver_api::quantity::ParsedResources;
use openshell_driver_api::{DriverContext, DriverError, SandboxRequest, environment, labels};

use crate::config::{Config, Network};
use crate::files;
use crate::image::{self, Image};
use crate::names::Scope;

/// Where the workspace is mounted: what is below it survives a stop.
pub(crate) const WORKSPACE: &str = "/sandbox";

/// The engine refuses less: 0.01 CPU.
const LEAST_NANO_CPUS: i64 = 10_000_000;
/// The engine refuses less: 6 MiB.
const LEAST_MEMORY: i64 = 6 * 1024 * 1024;

/// A request that has been found possible, as far as that can be said without an engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The image's reference, the default filled in.
    pub(crate) image: String,
    body: ContainerCreateBody,
}

impl Plan {
    /// Checks a request and makes of it what will be asked of the engine.
    ///
    /// # Errors
    /// `InvalidArgument` with everything that is wrong with the request.
    pub(crate) fn new(
        request: &SandboxRequest,
        config: &Config,
        context: &DriverContext,
    ) -> Result<Self, DriverError> {
        let mut faults = Faults::default();
        let spec = &request.spec;
        let scope = Scope { gateway_id: context.gateway_id.clone() };
        if !scope.fits(&request.id) {
            faults.add("the sandbox id is too long for the name of a container");
        }
        let image = if spec.template.image.is_empty() { &config.default_image } else { &spec.template.image };
        if image.is_empty() {
            faults.add(
                "no image is named: name one (`openshell sandbox create --image IMAGE`), or set `default_image` in \
                 `[openshell.drivers.docker]`",
            );
        } else if let Err(problem) = image::check(image) {
            faults.add(format!("image: `{image}` {problem}"));
        }
        if spec.command.first().is_some_and(String::is_empty) {
            faults.add("command: the program's name is empty");
        }
        if spec.command.iter().any(|word| word.contains('\0')) {
            faults.add("command: a word holds a NUL");
        }
        if spec.gpu.is_some() {
            faults.add("gpu: the docker driver gives no GPU to a sandbox");
        }
        for (what, settings) in [
            ("driver_config", &spec.template.driver_config),
            ("platform_config", &spec.template.platform_config),
        ] {
            for key in settings.keys() {
                faults.add(format!("{what}: unknown key `{key}`: the docker driver reads none"));
            }
        }
        let limits = faults.take(Limits::read(request)).unwrap_or_default();
        let variables = faults.take(environment::of(request, context, files::TOKEN_PATH)).unwrap_or_default();
        faults.into_result()?;

        let own_command = spec.command.is_empty();
        let body = ContainerCreateBody {
            hostname: is_host_name(&request.name).then(|| request.name.clone()),
            user: config.user.clone(),
            env: Some(variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            // An entrypoint of our own replaces the image's, and with it the image's command: the argv is exact.
            entrypoint: (!own_command).then(|| spec.command.clone()),
            // An image's own command may be relative to its own directory.
            working_dir: (!own_command).then(|| WORKSPACE.to_owned()),
            tty: Some(spec.tty),
            // A shell that is run for want of a command would end at once with nothing to read from.
            open_stdin: Some(spec.tty || own_command),
            labels: Some(labels::of(request, &context.gateway_id).into_iter().collect()),
            // An image's health check is about the image's own command.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            host_config: Some(host_config(request, config, &scope, limits)),
            ..ContainerCreateBody::default()
        };
        Ok(Self { image: image.clone(), body })
    }

    /// The body for the engine, once the image is known by its id.
    pub(crate) fn body(&self, image: &Image) -> ContainerCreateBody {
        let mut body = self.body.clone();
        body.image = Some(image.id.clone());
        if body.entrypoint.is_none() && !image.has_command {
            body.cmd = Some(vec!["/bin/sh".to_owned()]);
            body.working_dir = Some(WORKSPACE.to_owned());
        }
        body
    }
}

fn host_config(request: &SandboxRequest, config: &Config, scope: &Scope, limits: Limits) -> HostConfig {
    let volume_labels: HashMap<String, String> = labels::of(request, &scope.gateway_id).into_iter().collect();
    let workspace = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(scope.volume(&request.id)),
        target: Some(WORKSPACE.to_owned()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(volume_labels),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: (!config.cap_add.is_empty()).then(|| config.cap_add.clone()),
        // No `seccomp=` here: that is the engine's default profile.
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        pids_limit: Some(config.pids_limit),
        nano_cpus: limits.nano_cpus,
        memory: limits.memory,
        // As much as memory: none on top of it. Left out, the engine would allow as much swap again.
        memory_swap: limits.memory,
        memory_reservation: limits.memory_reservation,
        network_mode: Some(match &config.network {
            Network::Own => scope.network(),
            Network::None => "none".to_owned(),
            Network::Named(name) => name.clone(),
        }),
        mounts: Some(vec![workspace]),
        // The first process of a container ignores signals that it has no handler for, and nobody reaps its orphans.
        init: Some(true),
        // Who runs again after a restart is the gateway's to say.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        // What an agent prints must not fill the host's disk.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(
                [("max-size", "10m"), ("max-file", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ),
        }),
        ..HostConfig::default()
    }
}

/// Whether a kernel and a resolver take it as the name of a host.
fn is_host_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What an engine can hold a container to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Limits {
    nano_cpus: Option<i64>,
    memory: Option<i64>,
    memory_reservation: Option<i64>,
}

impl Limits {
    fn read(request: &SandboxRequest) -> Result<Self, DriverError> {
        let asked = &request.spec.template.resources;
        let parsed = ParsedResources::read(asked)?;
        let mut faults = Faults::default();
        if parsed.cpu_request.is_some() {
            let text = &asked.cpu_request;
            faults
                .add(format!("cpu_request: `{text}` cannot be reserved by the docker driver; use cpu_limit"));
        }
        let nano_cpus = parsed.cpu_limit.map(|cpu| i64::try_from(cpu.nanos()).unwrap_or(i64::MAX));
        if nano_cpus.is_some_and(|cpus| cpus < LEAST_NANO_CPUS) {
            faults.add(format!("cpu_limit: `{}` is below the engine's least, `10m`", asked.cpu_limit));
        }
        let bytes = |memory: Option<openshell_driver_api::quantity::Quantity>| {
            memory.map(|memory| i64::try_from(memory.units()).unwrap_or(i64::MAX))
        };
        let (memory, memory_reservation) = (bytes(parsed.memory_limit), bytes(parsed.memory_request));
        for (field, text, value) in [
            ("memory_limit", &asked.memory_limit, memory),
            ("memory_request", &asked.memory_request, memory_reservation),
        ] {
            // A request of nothing asks for nothing.
            if value.is_some_and(|bytes| bytes > 0 && bytes < LEAST_MEMORY) {
                faults.add(format!("{field}: `{text}` is below the engine's least, `6Mi`"));
            }
        }
        faults.into_result()?;
        Ok(Self { nano_cpus, memory, memory_reservation: memory_reservation.filter(|bytes| *bytes > 0) })
    }
}

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    fn take<T>(&mut self, result: Result<T, DriverError>) -> Option<T> {
        result.map_err(|error| self.add(error.message())).ok()
    }

    fn into_result(self) -> Result<(), DriverError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DriverError::invalid("validate sandbox", self.0.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::{ErrorKind, GpuRequest, SandboxId, SandboxSpec, Secret, Template};

    use super::*;

    fn context() -> DriverContext {
        DriverContext {
            name: "docker".into(),
            gateway_id: "gw".into(),
            state_dir: "/nowhere".into(),
            telemetry: false,
            endpoint: String::new(),
        }
    }

    fn request(command: &[&str]) -> SandboxRequest {
        SandboxRequest {
            id: SandboxId::new("id-1").expect("an id"),
            name: "one".into(),
            namespace: String::new(),
            workspace: "default".into(),
            spec: SandboxSpec {
                command: command.iter().map(|word| (*word).to_owned()).collect(),
                template: Template { image: "busybox".into(), ..Template::default() },
                ..SandboxSpec::default()
            },
        }
    }

    fn image(has_command: bool) -> Image {
        Image { id: "sha256:1".into(), user: String::new(), has_command }
    }

    fn plan(request: &SandboxRequest) -> Result<Plan, DriverError> {
        Plan::new(request, &Config::default(), &context())
    }

    fn refusal(request: &SandboxRequest) -> String {
        let error = plan(request).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn the_posture() {
        let body = plan(&request(&["sleep", "1"])).expect("valid").body(&image(true));
        let host = body.host_config.expect("a host config");
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(host.cap_add, None);
        assert_eq!(host.security_opt.as_deref(), Some(&["no-new-privileges".to_owned()][..]));
        assert_eq!((host.privileged, host.pids_limit, host.init), (Some(false), Some(2048), Some(true)));
        assert_eq!(host.network_mode.as_deref(), Some("openshell-gw"));
        assert_eq!((host.binds, host.devices, host.pid_mode, host.userns_mode), (None, None, None, None));
        let mounts = host.mounts.expect("mounts");
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].typ, Some(MountType::VOLUME));
        assert_eq!(mounts[0].source.as_deref(), Some("openshell-gw.id-1.workspace"));
        assert_eq!(mounts[0].target.as_deref(), Some("/sandbox"));
    }

    #[test]
    fn the_command_is_exact_and_clears_the_image_s() {
        let body = plan(&request(&["sh", "-c", "a  b"])).expect("valid").body(&image(true));
        assert_eq!(body.entrypoint, Some(vec!["sh".into(), "-c".into(), "a  b".into()]));
        assert_eq!(body.cmd, None);
        assert_eq!(body.working_dir.as_deref(), Some("/sandbox"));
        assert_eq!((body.open_stdin, body.tty), (Some(false), Some(false)));
        assert_eq!(body.image.as_deref(), Some("sha256:1"));
    }

    #[test]
    fn no_command_is_the_image_s_own_or_a_shell() {
        let own = plan(&request(&[])).expect("valid").body(&image(true));
        assert_eq!((own.entrypoint, own.cmd, own.working_dir), (None, None, None));
        let shell = plan(&request(&[])).expect("valid").body(&image(false));
        assert_eq!((shell.cmd, shell.open_stdin), (Some(vec!["/bin/sh".to_owned()]), Some(true)));
    }

    #[test]
    fn limits() {
        let mut request = request(&["a"]);
        request.spec.template.resources.cpu_limit = "500m".into();
        request.spec.template.resources.memory_limit = "64Mi".into();
        request.spec.template.resources.memory_request = "32Mi".into();
        let host = plan(&request).expect("valid").body(&image(true)).host_config.expect("a host config");
        assert_eq!(host.nano_cpus, Some(500_000_000));
        assert_eq!(
            (host.memory, host.memory_swap, host.memory_reservation),
            (Some(64 << 20), Some(64 << 20), Some(32 << 20))
        );
    }

    #[test]
    fn everything_that_cannot_be_honoured_is_refused_at_once() {
        let mut bad = request(&["", "a\0"]);
        bad.spec.gpu = Some(GpuRequest::default());
        bad.spec.template.image = "Bad Image".into();
        bad.spec.template.driver_config.insert("privileged".into(), true.into());
        bad.spec.template.platform_config.insert("runtime_class".into(), "x".into());
        bad.spec.template.resources.cpu_limit = "lots".into();
        bad.spec.environment.insert("OPENSHELL_ENDPOINT".into(), "http://evil".into());
        let text = refusal(&bad);
        for part in [
            "name is empty",
            "NUL",
            "gpu",
            "`Bad Image`",
            "`privileged`",
            "`runtime_class`",
            "`lots`",
            "`OPENSHELL_ENDPOINT`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn requests_and_limits_that_the_engine_would_ignore_or_refuse() {
        let set = |apply: fn(&mut openshell_driver_api::Resources)| {
            let mut request = request(&["a"]);
            apply(&mut request.spec.template.resources);
            refusal(&request)
        };
        assert!(set(|r| r.cpu_request = "1".into()).contains("cpu_request: `1` cannot be reserved"));
        assert!(set(|r| r.cpu_limit = "9m".into()).contains("below"));
        assert!(set(|r| r.memory_limit = "5Mi".into()).contains("below"));
    }

    #[test]
    fn an_image_has_to_come_from_somewhere() {
        let mut bare = request(&["a"]);
        bare.spec.template.image.clear();
        assert!(refusal(&bare).contains("default_image"));
        let config = Config { default_image: "base:1".into(), ..Config::default() };
        assert_eq!(Plan::new(&bare, &config, &context()).expect("valid").image, "base:1");
    }

    #[test]
    fn the_token_is_nowhere_in_the_body() {
        let mut request = request(&["a"]);
        request.spec.token = Secret::new("s3cret");
        let plan = plan(&request).expect("valid");
        assert!(!format!("{plan:?}").contains("s3cret"));
        let env = plan.body(&image(true)).env.expect("env");
        assert!(env.contains(&"OPENSHELL_SANDBOX_TOKEN_FILE=/run/openshell/token".to_owned()));
        assert!(env.contains(&"OPENSHELL_TELEMETRY_ENABLED=false".to_owned()));
    }

    #[test]
    fn a_name_that_is_no_host_s_is_left_out() {
        for name in ["", "-a", "a-", "a.b", "ü", &"x".repeat(64)] {
            assert!(!is_host_name(name), "{name}");
        }
        assert!(is_host_name("my-box-1"));
    }
}
