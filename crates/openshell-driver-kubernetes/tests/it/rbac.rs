//! The roles of `deploy/`: the driver's whole life with exactly one of them, as the cluster's unprivileged user, and with
//! each verb less an error that names the verb, as users that are made up. The test's own client grants the roles.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ObjectMeta;
use kube::{Client, Config};
use openshell_driver_api::{ComputeDriver, DriverError, ErrorKind, Secret, WatchEvent};
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, PATIENCE, open, request, sandbox_id};

/// The context of the kubeconfig whose user may do nothing until granted.
const LIMITED: &str = "limited";
/// The unprivileged user's: whoever is it has to be it alone.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// How many namespaces are worked in at once.
const SIDE_BY_SIDE: usize = 12;
/// How long a watch that is refused takes at most to say so.
const REFUSAL: Duration = Duration::from_secs(20);

/// A verb of a role, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    resource: String,
    verb: String,
}

impl Right {
    /// The API server's words for its want.
    fn refusal(&self) -> String {
        format!("cannot {} resource \"{}\"", self.verb, self.resource)
    }
}

/// The rules of a file below `deploy/`, as `kubectl` reads them.
fn rules(file: &str) -> Vec<PolicyRule> {
    let path = format!("{}/../../deploy/kubernetes/{file}", env!("CARGO_MANIFEST_DIR"));
    let read = std::process::Command::new("kubectl")
        .args(["create", "--dry-run=client", "-o", "json", "-f", &path])
        .output()
        .expect("kubectl");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let mut role: serde_json::Value = serde_json::from_slice(&read.stdout).expect("a role");
    serde_json::from_value(role["rules"].take()).expect("rules")
}

fn rights(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for (group, resource) in rule.api_groups.iter().flatten().zip(rule.resources.iter().flatten()) {
            rights.extend(rule.verbs.iter().map(|verb| Right {
                group: group.clone(),
                resource: resource.clone(),
                verb: verb.clone(),
            }));
        }
    }
    rights
}

/// The rules without a right.
fn without(rules: &[PolicyRule], right: &Right) -> Vec<PolicyRule> {
    let mut rules = rules.to_vec();
    for rule in &mut rules {
        if rule.resources.iter().flatten().any(|resource| *resource == right.resource) {
            rule.verbs.retain(|verb| *verb != right.verb);
        }
    }
    rules.retain(|rule| !rule.verbs.is_empty());
    rules
}

/// Who the driver is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    /// The cluster's unprivileged user.
    Limited,
    /// One that is made up for this one check, so that no other check's role is his, too.
    MadeUp,
}

/// A kubeconfig for a user, and what the user is called.
async fn kubeconfig(user: User, made_up: &str) -> Option<(Kubeconfig, String)> {
    let mut found = Kubeconfig::from_env().ok().flatten()?;
    if user == User::MadeUp {
        // Whoever the test is puts on the made-up user's name.
        let current = found.current_context.clone()?;
        let named = found.contexts.iter().find(|context| context.name == current)?;
        let who = named.context.as_ref()?.user.clone()?;
        let account = found.auth_infos.iter_mut().find(|named| named.name == who)?;
        account.auth_info.as_mut()?.impersonate = Some(made_up.to_owned());
        return Some((found, made_up.to_owned()));
    }
    found.current_context = Some(LIMITED.to_owned());
    let client = client(&found).await?;
    // Which no role here lets anybody.
    let all: Api<Node> = Api::all(client);
    let error = all.list(&kube::api::ListParams::default().limit(1)).await.expect_err("no right").to_string();
    Some((found, error.split('"').nth(1).expect("a name in quotes").to_owned()))
}

async fn client(kubeconfig: &Kubeconfig) -> Option<Client> {
    let config =
        Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await.ok()?;
    Some(Client::try_from(config).expect("a client"))
}

/// A bench whose driver is an unprivileged user, with these rules.
struct Granted {
    bench: Bench,
    user: Client,
    /// The cluster-wide objects that go with the test.
    wide: Option<String>,
    _kubeconfig: tempfile::TempDir,
}

impl Granted {
    /// `None` where there is no cluster or no such user.
    async fn new(config: &str, rules: &[PolicyRule], wide: bool, who: User) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let made_up = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let Some((kubeconfig, user)) = kubeconfig(who, &made_up).await else {
            crate::bench::skip(&format!("no context `{LIMITED}`"));
            return None;
        };
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, serde_json::to_string(&kubeconfig).expect("JSON")).expect("a file");
        let bench = Bench::new(&format!("kubeconfig = '{}'\n{config}", path.display())).await?;
        let name = bench.namespace.clone();
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let subject = Subject {
            kind: "User".to_owned(),
            name: user,
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            namespace: None,
        };
        let subjects = Some(vec![subject]);
        let reference = |kind: &str| RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: kind.to_owned(),
            name: name.clone(),
        };
        let (rules, how) = (Some(rules.to_vec()), PostParams::default());
        if wide {
            let role = ClusterRole { metadata: metadata.clone(), rules, aggregation_rule: None };
            let roles: Api<ClusterRole> = Api::all(bench.client.clone());
            roles.create(&how, &role).await.expect("a role");
            let binding = ClusterRoleBinding { metadata, role_ref: reference("ClusterRole"), subjects };
            let bindings: Api<ClusterRoleBinding> = Api::all(bench.client.clone());
            bindings.create(&how, &binding).await.expect("a binding");
        } else {
            bench
                .api::<Role>()
                .create(&how, &Role { metadata: metadata.clone(), rules })
                .await
                .expect("a role");
            let binding = RoleBinding { metadata, role_ref: reference("Role"), subjects };
            bench.api::<RoleBinding>().create(&how, &binding).await.expect("a binding");
        }
        let user = client(&kubeconfig).await?;
        Some(Self { bench, user, wide: wide.then_some(name), _kubeconfig: directory })
    }

    /// Waits until the API server goes by the rules: it learns of them a moment after they were taken.
    async fn settle(&self, rights: &BTreeSet<Right>) {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.user.clone());
        let namespace = self.wide.is_none().then(|| self.bench.namespace.clone());
        let all = async {
            for right in rights {
                let review = SelfSubjectAccessReview {
                    spec: SelfSubjectAccessReviewSpec {
                        resource_attributes: Some(ResourceAttributes {
                            group: Some(right.group.clone()),
                            resource: Some(right.resource.clone()),
                            verb: Some(right.verb.clone()),
                            namespace: namespace.clone(),
                            ..ResourceAttributes::default()
                        }),
                        ..SelfSubjectAccessReviewSpec::default()
                    },
                    ..SelfSubjectAccessReview::default()
                };
                loop {
                    let answer = reviews.create(&PostParams::default(), &review).await.expect("a review");
                    if answer.status.is_some_and(|status| status.allowed) {
                        break;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        timeout(PATIENCE, all).await.expect("the rules hold");
    }
}

/// Takes back what is in no namespace of the test's: also when a test panics, since a binding would be the next one's, too.
impl Drop for Granted {
    fn drop(&mut self) {
        let (Some(name), workspace) = (self.wide.clone(), workspace_of(&self.bench)) else { return };
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let Ok(client) = Client::try_default().await else { return };
                let how = DeleteParams::default();
                let _ = Api::<ClusterRoleBinding>::all(client.clone()).delete(&name, &how).await;
                let _ = Api::<ClusterRole>::all(client.clone()).delete(&name, &how).await;
                // Left by a driver that may not remove it.
                let _ = Api::<Namespace>::all(client).delete(&workspace, &how).await;
            });
        });
        let _ = cleaner.join();
    }
}

/// Everything that a driver is asked for, in order, up to the first failure. A sandbox that is there is deleted also then.
async fn life(driver: &Arc<dyn ComputeDriver>, workspace: &str) -> Result<(), DriverError> {
    let id = sandbox_id("life");
    let mut wanted = request("life", &["/bin/sleep", "3600"]);
    wanted.workspace = workspace.to_owned();
    // So that there is a secret.
    wanted.spec.token = Secret::new("t0ken");
    driver.ensure_workspace(workspace).await?;
    let mut events = driver.watch().await?;
    let lived = async {
        driver.create(&wanted).await?;
        until(driver, &mut events, "Running").await?;
        driver.list().await?;
        driver.stop(&id).await?;
        until(driver, &mut events, "Stopped").await?;
        driver.start(&id).await?;
        until(driver, &mut events, "Running").await
    }
    .await;
    let deleted = driver.delete(&id).await;
    lived?;
    assert!(deleted?, "there was a sandbox");
    driver.delete_workspace(workspace).await
}

/// Waits until the sandbox is in a state, as a watch tells it and as it is when asked, and for what events say meanwhile.
async fn until(
    driver: &Arc<dyn ComputeDriver>,
    events: &mut openshell_driver_api::EventStream,
    reason: &str,
) -> Result<(), DriverError> {
    let told = async {
        while let Some(event) = events.next().await {
            if let WatchEvent::Sandbox(seen) = event?
                && crate::bench::ready(&seen).reason == reason
            {
                return Ok(());
            }
        }
        panic!("the watch has ended");
    };
    timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("no `{reason}`"))?;
    driver.get(&sandbox_id("life")).await.map(drop)
}

/// The driver's whole life with a role, and nothing left after it; then the same with each verb less.
async fn judge(file: &str, config: &'static str, wide: bool) {
    if std::env::var_os("KUBECONFIG").is_none() {
        return crate::bench::skip("no cluster: `KUBECONFIG` is not set");
    }
    let rules = rules(file);
    let all = rights(&rules);
    let enough = async {
        // The unprivileged user is one, and has the rights of all roles that are bound to it.
        let _turn = TURN.lock().await;
        let whole = Granted::new(config, &rules, wide, User::Limited).await?;
        whole.settle(&all).await;
        let driver = open(&whole.bench.gateway_id, &whole.bench.table).await.expect("a driver");
        let workspace = workspace_of(&whole.bench);
        life(&driver, &workspace).await.expect("the role is enough");
        assert_eq!(whole.bench.leftovers().await, Vec::<String>::new());
        Some(())
    };
    let checks = all.iter().map(|right| {
        let rules = without(&rules, right);
        async move {
            let poor = Granted::new(config, &rules, wide, User::MadeUp).await?;
            poor.settle(&rights(&rules)).await;
            let table = &poor.bench.table;
            let workspace = workspace_of(&poor.bench);
            let failed = async {
                let driver = open(&poor.bench.gateway_id, table).await?;
                life(&driver, &workspace).await
            };
            let failed = timeout(REFUSAL + PATIENCE, failed).await;
            let said = match failed {
                Ok(Err(error)) => error,
                other => panic!("without {right:?}: {other:?}"),
            };
            let message = said.to_string();
            assert_eq!(said.kind(), ErrorKind::PermissionDenied, "{right:?}: {message}");
            assert!(message.contains(&right.refusal()), "{right:?}: {message}");
            if !wide {
                let place = format!("in the namespace \"{}\"", poor.bench.namespace);
                assert!(message.contains(&place), "{right:?}: {message}");
            }
            Some(())
        }
    });
    let poorer = stream::iter(checks).buffer_unordered(SIDE_BY_SIDE).collect::<Vec<_>>();
    let (enough, poorer) = tokio::join!(enough, poorer);
    // Without a cluster nothing is shown, and that was said.
    assert!(enough.is_none() || poorer.iter().flatten().count() == all.len());
}

/// A workspace that only this test has: where each has a namespace, it is called after it.
fn workspace_of(bench: &Bench) -> String {
    format!("w-{}", bench.gateway_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_for_one_namespace_is_enough_and_not_too_much() {
    judge("role.yaml", "", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_for_a_namespace_each_is_enough_and_not_too_much() {
    judge("cluster-role.yaml", "namespace_template = '{workspace}'", true).await;
}
