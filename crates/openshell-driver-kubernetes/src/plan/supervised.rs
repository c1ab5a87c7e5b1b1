//! A sandbox whose main container begins with the gateway's supervisor: how the program, the token and the certificate
//! authority get into the pod, and what the supervisor is started with. Pure.
//!
//! ```text
//!   Secret ─▶ step "supervisor", of the operator's image: install ─▶ memory at /run/openshell ─▶ main container
//! ```
//!
//! No file of a node is bound, and what a request has put into the secret stays where it is: the main container sees the
//! memory alone, in which the supervisor leaves nothing of the token.

use k8s_openapi::api::core::v1::{Container, ResourceRequirements, VolumeMount};
use openshell_driver_api::DriverContext;
use openshell_driver_api::supervisor::{self, SupervisorDelivery};
use openshell_driver_common::container::files::{TOKEN_DIRECTORY, WORKSPACE};
use openshell_driver_common::container::supervised::{self, bits};

use super::posture::{self, Owner};
use super::secret::{CA_KEY, TOKEN_KEY};
use super::volumes::{SUPERVISOR_VOLUME, TOKEN_VOLUME};
use crate::asked::Asked;
use crate::config::{Config, SupervisorImage};

/// The name of the container that brings the program.
const STEP: &str = "supervisor";
/// Where that container has the sandbox's secret.
const SECRET: &str = "/run/secrets/openshell";

/// How a sandbox gets its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Supervised<'a> {
    image: &'a SupervisorImage,
    /// Certificates, PEM.
    pub(super) ca: &'a str,
    /// Where the main container has all of it.
    pub(super) home: String,
}

impl<'a> Supervised<'a> {
    /// What there is of it, `None` where sandboxes have no supervisor. It lies deeper than whatever `asked` mounts: a link in
    /// the image must not lead a claim over it, with a program of its own to be started in the supervisor's stead.
    pub(super) fn of(config: &'a Config, context: &'a DriverContext, asked: &Asked) -> Option<Self> {
        let Some(SupervisorDelivery::Network { ca, .. }) = &context.supervisor else { return None };
        let mounts = asked.mounts.iter().map(|mount| mount.target.as_str()).chain([WORKSPACE]);
        let further = supervised::further(mounts, TOKEN_DIRECTORY);
        config.supervisor.as_ref().map(|image| Self {
            image,
            ca,
            home: format!("{TOKEN_DIRECTORY}{further}"),
        })
    }

    /// A file of it, by the path that it has where nothing else is mounted.
    pub(super) fn file(&self, usual: &str) -> String {
        format!("{}{}", self.home, usual.strip_prefix(TOKEN_DIRECTORY).unwrap_or(usual))
    }

    /// The container that puts the program and what it reads in place. `token` says whether there is one.
    pub(super) fn installer(&self, token: bool, resources: ResourceRequirements) -> Container {
        let mut command = vec![format!("/{}", supervisor::PROGRAM_NAME), "install".to_owned()];
        let files = [("--token", TOKEN_KEY, token), ("--ca", CA_KEY, true)];
        for (flag, key, _) in files.into_iter().filter(|(_, _, there)| *there) {
            command.extend([flag.to_owned(), format!("{SECRET}/{key}")]);
        }
        command.push(TOKEN_DIRECTORY.to_owned());
        let mount = |volume: &str, path: &str, read_only: bool| VolumeMount {
            name: volume.to_owned(),
            mount_path: path.to_owned(),
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        };
        Container {
            name: STEP.to_owned(),
            image: Some(self.image.image.clone()),
            image_pull_policy: self.image.pull_policy.map(str::to_owned),
            command: Some(command),
            resources: Some(resources),
            volume_mounts: Some(vec![
                mount(SUPERVISOR_VOLUME, TOKEN_DIRECTORY, false),
                mount(TOKEN_VOLUME, SECRET, true),
            ]),
            security_context: Some(posture::installer()),
            ..Container::default()
        }
    }
}

/// The main container's command line. What runs is the request's command, which the supervisor reads from its environment,
/// or a shell: what the image would run, nobody who starts a pod can know.
pub(super) fn command(supervised: &Supervised<'_>, config: &Config, owner: Owner) -> Vec<String> {
    let Owner { user, group, fs_group } = owner;
    let kept = bits(&config.cap_add);
    let program = supervised.file(supervisor::PROGRAM);
    let mut words = supervisor::command_line(&program, &format!("{user}:{group}"), WORKSPACE, kept, &[]);
    // Every pod is brought its own, in memory.
    let mut flags = vec!["--forget-token".to_owned()];
    if fs_group != group {
        // The volumes' group, which the cluster gives to the container's first process alone.
        flags.extend(["--groups".to_owned(), fs_group.to_string()]);
    }
    let dashes = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.splice(dashes..dashes, flags);
    words
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::{SandboxId, SandboxRequest, SandboxSpec, Secret as Token, Template};
    use serde_json::{Value, json};

    use super::super::{Plan, brings_no_command};
    use super::*;

    const IMAGE: &str = "supervisor_image = 'registry.example/openshell-sandbox:1'\n";

    fn plan(own: &str, set: impl FnOnce(&mut SandboxSpec)) -> Plan {
        let endpoint = "https://gateway.example:17671".to_owned();
        let network = SupervisorDelivery::Network { endpoint: endpoint.clone(), ca: "certificates".into() };
        let context = DriverContext {
            name: "kubernetes".into(),
            gateway_id: "gw".into(),
            state_dir: "/nowhere".into(),
            telemetry: true,
            endpoint,
            supervisor: Some(network),
        };
        let mut request = SandboxRequest {
            id: SandboxId::new("id-1").expect("an id"),
            name: "one".into(),
            namespace: String::new(),
            workspace: "default".into(),
            spec: SandboxSpec {
                template: Template { image: "busybox:1".into(), ..Template::default() },
                token: Token::new("t0ken"),
                ..SandboxSpec::default()
            },
        };
        set(&mut request.spec);
        let config = Config::read(&own.parse().expect("TOML")).expect("a configuration");
        Plan::new(&request, &config, &context, "mine").expect("a plan")
    }

    fn pod(own: &str, set: impl FnOnce(&mut SandboxSpec)) -> Value {
        json!(plan(&format!("{IMAGE}{own}"), set).pod.spec)
    }

    fn variable<'a>(container: &'a Value, name: &str) -> &'a Value {
        let mut all = container["env"].as_array().expect("variables").iter();
        all.find(|variable| variable["name"] == name).map_or(&Value::Null, |variable| &variable["value"])
    }

    #[test]
    fn the_step_brings_what_the_main_container_begins_with() {
        let plan =
            plan(&format!("{IMAGE}supervisor_image_pull_policy = 'Never'\nmemory_limit = '1Gi'"), |spec| {
                spec.command = vec!["sleep".into(), "$(A)".into()];
                spec.environment = [("KEY".to_owned(), "s3cret".to_owned())].into();
            });
        let pod = json!(plan.pod.spec);
        let step = json!([{
            "name": "supervisor",
            "image": "registry.example/openshell-sandbox:1",
            "imagePullPolicy": "Never",
            "command": ["/openshell-sandbox", "install", "--token", "/run/secrets/openshell/token",
                "--ca", "/run/secrets/openshell/ca.crt", "/run/openshell"],
            "resources": { "limits": { "memory": "1Gi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsGroup": 0,
                "runAsNonRoot": false,
                "runAsUser": 0,
            },
            "volumeMounts": [
                { "name": "supervisor", "mountPath": "/run/openshell" },
                { "name": "token", "mountPath": "/run/secrets/openshell", "readOnly": true },
            ],
        }]);
        assert_eq!(pod["initContainers"], step);
        let main = &pod["containers"][0];
        assert_eq!(
            main["command"],
            json!([
                "/run/openshell/supervisor",
                "run",
                "--user",
                "1000:1000",
                "--workdir",
                "/sandbox",
                "--forget-token",
                "--"
            ])
        );
        assert_eq!((&main["workingDir"], &main["stdin"]), (&json!("/"), &Value::Null));
        assert_eq!(
            main["securityContext"],
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": { "add": ["KILL", "SETGID", "SETUID", "SETPCAP"], "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": false,
                "runAsGroup": 0,
                "runAsNonRoot": false,
                "runAsUser": 0,
            })
        );
        assert_eq!(
            main["volumeMounts"],
            json!([
                { "name": "workspace", "mountPath": "/sandbox" },
                { "name": "supervisor", "mountPath": "/run/openshell" },
            ])
        );
        assert_eq!(variable(main, "OPENSHELL_ENDPOINT"), "https://gateway.example:17671");
        assert_eq!(variable(main, "OPENSHELL_CA_FILE"), "/run/openshell/ca.crt");
        assert_eq!(variable(main, "OPENSHELL_SANDBOX_TOKEN_FILE"), "/run/openshell/token");
        let spec = r#"{"version":1,"command":["sleep","$$(A)"],"tty":false}"#;
        assert_eq!(variable(main, "OPENSHELL_MAIN_PROCESS_SPEC"), spec);
        let name = &plan.name;
        assert_eq!(
            pod["volumes"].as_array().expect("volumes")[1..],
            [
                json!({ "name": "supervisor", "emptyDir": { "medium": "Memory", "sizeLimit": "67108864" } }),
                json!({ "name": "token", "secret": {
                    "secretName": name, "defaultMode": 0o400,
                    "items": [{ "key": "token", "path": "token", "mode": 0o400 },
                              { "key": "ca.crt", "path": "ca.crt", "mode": 0o400 }],
                } }),
            ]
        );
        // The pod's user stays who the workload is, and processes are the container's own.
        assert_eq!(
            (&pod["securityContext"]["runAsUser"], &pod["shareProcessNamespace"]),
            (&json!(1000), &Value::Null)
        );
        let secret = plan.secret.as_ref().and_then(|secret| secret.data.as_ref()).expect("a secret");
        assert_eq!(secret.keys().collect::<Vec<_>>(), ["ca.crt", "env.KEY", "token"]);
        assert!(!pod.to_string().contains("t0ken") && !pod.to_string().contains("s3cret"));
    }

    #[test]
    fn nothing_is_mounted_deeper_than_what_the_main_container_begins_with() {
        let pod = pod("claims = ['data']", |spec| {
            let mount = json!({ "type": "claim", "target": "/home/user/data", "source": "data" });
            spec.template.driver_config =
                json!({ "mounts": [mount] }).as_object().expect("an object").clone();
        });
        let main = &pod["containers"][0];
        assert_eq!(main["command"][0], "/run/openshell/_/_/supervisor");
        assert_eq!(
            main["volumeMounts"][1],
            json!({ "name": "supervisor", "mountPath": "/run/openshell/_/_" })
        );
        assert_eq!(variable(main, "OPENSHELL_CA_FILE"), "/run/openshell/_/_/ca.crt");
        assert_eq!(variable(main, "OPENSHELL_SANDBOX_TOKEN_FILE"), "/run/openshell/_/_/token");
    }

    #[test]
    fn the_workload_is_who_it_is_without_a_supervisor() {
        let line = |own: &str| {
            let command = pod(own, |_| {})["containers"][0]["command"].clone();
            let words: Vec<String> = serde_json::from_value(command).expect("words");
            words[2..].join(" ")
        };
        assert_eq!(
            line("user = 7\ngroup = 8\nfs_group = 9"),
            "--user 7:8 --workdir /sandbox --forget-token --groups 9 --"
        );
        let root = "--user 0:0 --workdir /sandbox --capabilities 2020 --forget-token --groups 1000 --";
        assert_eq!(line("user = 0\ncap_add = ['KILL', 'NET_RAW']"), root);
        let added = pod("cap_add = ['KILL', 'NET_RAW']", |_| {});
        let added = &added["containers"][0]["securityContext"]["capabilities"]["add"];
        assert_eq!(*added, json!(["KILL", "SETGID", "SETUID", "SETPCAP", "NET_RAW"]));
    }

    #[test]
    fn without_a_command_a_shell_runs_and_without_a_token_none_is_brought() {
        let plan = plan(IMAGE, |spec| spec.token = Token::default());
        assert!(!brings_no_command(&plan.pod), "nothing has to be learned of the image");
        let pod = json!(plan.pod.spec);
        assert_eq!(pod["containers"][0]["stdin"], true);
        let command = &pod["initContainers"][0]["command"];
        assert_eq!(command[2], "--ca", "{command}");
        let items = &pod["volumes"][2]["secret"]["items"];
        assert_eq!(*items, json!([{ "key": "ca.crt", "path": "ca.crt", "mode": 0o400 }]));
    }

    #[test]
    fn a_workspace_is_given_away_before_that() {
        let names = |own| {
            let steps = pod(own, |_| {})["initContainers"].clone();
            steps.as_array().expect("steps").iter().map(|step| step["name"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("chown_workspace = true"), ["workspace", "supervisor"]);
    }

    #[test]
    fn agent_sandbox_s_pods_are_the_same() {
        let plan = plan(&format!("{IMAGE}workload = 'agent-sandbox'"), |_| {});
        let (template, pod) = (plan.agent_spec(), json!(plan.pod.spec));
        let spec = &template["podTemplate"]["spec"];
        assert_eq!(spec["initContainers"][0]["name"], "supervisor");
        for part in ["initContainers", "containers"] {
            assert_eq!(spec[part], pod[part], "{part}");
        }
        assert_eq!(spec["volumes"][0]["name"], "supervisor", "{spec}");
    }

    #[test]
    fn an_image_that_nobody_named_is_none() {
        let pod = json!(plan("", |_| {}).pod.spec);
        assert_eq!((&pod["initContainers"], &pod["shareProcessNamespace"]), (&Value::Null, &json!(true)));
    }
}
