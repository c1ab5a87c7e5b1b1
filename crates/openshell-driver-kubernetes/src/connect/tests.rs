//! Which cluster is meant, from files in a directory of the test's own. Nothing is dialled.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// A certificate authority, for nobody: made once for this test, its key thrown away.
const CA: &str = include_str!("ca.pem");

fn config(text: &str) -> Config {
    Config::read(&text.parse().expect("TOML")).expect("a configuration")
}

fn env(root: &Path, vars: &[(&str, &str)]) -> ProbeEnv {
    let vars: BTreeMap<String, String> =
        vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ProbeEnv { vars, root: root.to_owned(), ..ProbeEnv::default() }
}

fn write(root: &Path, path: &str, text: &str) -> String {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn kubeconfig_text(server: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
         clusters:\n- name: c\n  cluster:\n    server: {server}\n{more}\
         users:\n- name: u\n  user:\n    token: s3cret\n\
         contexts:\n- name: a\n  context: {{cluster: c, user: u, namespace: agents}}\n\
         - name: b\n  context: {{cluster: c, user: u}}\n"
    )
}

fn account(root: &Path) {
    for (name, text) in [("token", "t0ken"), ("ca.crt", CA), ("namespace", "pods\n")] {
        write(root, &format!("var/run/secrets/kubernetes.io/serviceaccount/{name}"), text);
    }
}

async fn found(own: &str, env: &ProbeEnv) -> Result<(String, String), DriverError> {
    connect(&config(own), env).await.map(|cluster| (cluster.server, cluster.namespace))
}

#[tokio::test]
async fn the_order_in_which_a_cluster_is_looked_for() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let named = write(root, "named", &kubeconfig_text("https://named:1", ""));
    let variable = write(root, "variable", &kubeconfig_text("https://variable:2", ""));
    write(root, "home/a/.kube/config", &kubeconfig_text("https://home:3", ""));
    account(root);
    let key = format!("kubeconfig = '{named}'");
    let all = [("KUBECONFIG", variable.as_str()), (HOST, "10.0.0.1"), (PORT, "6443"), ("HOME", "/home/a")];
    let is = |server: &str, namespace: &str| (server.to_owned(), namespace.to_owned());
    for (own, vars, expected) in [
        (key.as_str(), &all[..], is("https://named:1/", "agents")),
        ("", &all[..], is("https://variable:2/", "agents")),
        ("context = 'b'", &all[..], is("https://variable:2/", "default")),
        ("in_cluster = true", &all[..], is("https://10.0.0.1:6443/", "pods")),
        ("", &all[1..], is("https://10.0.0.1:6443/", "pods")),
        ("", &all[3..], is("https://home:3/", "agents")),
    ] {
        let found = found(own, &env(root, vars)).await.expect(own);
        assert_eq!(found, expected, "{own} {vars:?}");
    }
    let six =
        found("in_cluster = true", &env(root, &[(HOST, "fd00::1"), (PORT, "443")])).await.expect("IPv6");
    assert_eq!(six.0, "https://[fd00::1]:443/");
}

#[tokio::test]
async fn several_files_are_merged_and_missing_ones_passed_over() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let first = write(root, "first", "apiVersion: v1\nkind: Config\ncurrent-context: b\n");
    let second = write(root, "second", &kubeconfig_text("https://second:1", ""));
    let list = format!("{first}:{}:{second}", root.join("gone").display());
    let found = found("", &env(root, &[("KUBECONFIG", &list)])).await.expect("a cluster");
    assert_eq!(found, ("https://second:1/".to_owned(), "default".to_owned()));
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let junk = write(root, "junk", "{ not yaml");
    let good = write(root, "good", &kubeconfig_text("https://good:1", ""));
    let proxied =
        write(root, "proxied", &kubeconfig_text("https://good:1", "    proxy-url: http://proxy:3128\n"));
    let no_ca =
        write(root, "no-ca", &kubeconfig_text("https://good:1", "    certificate-authority: gone.pem\n"));
    let gone = root.join("gone").display().to_string();
    for (own, vars, said) in [
        (
            String::new(),
            &[][..],
            "neither `KUBECONFIG`, `KUBERNETES_SERVICE_HOST` nor `HOME` is set".to_owned(),
        ),
        (String::new(), &[("HOME", "/home/b")][..], ".kube/config`".to_owned()),
        (format!("kubeconfig = '{gone}'"), &[][..], format!("there is no file `{gone}`")),
        (format!("kubeconfig = '{junk}'"), &[][..], format!("the kubeconfig `{junk}`: ")),
        (format!("kubeconfig = '{good}'\ncontext = 'x'"), &[][..], "context: x".to_owned()),
        (format!("kubeconfig = '{proxied}'"), &[][..], "`proxy-url` is not supported".to_owned()),
        (format!("kubeconfig = '{no_ca}'"), &[][..], "gone.pem".to_owned()),
        ("in_cluster = true".to_owned(), &[][..], "`KUBERNETES_SERVICE_HOST` is not set".to_owned()),
        (
            "in_cluster = true".to_owned(),
            &[(HOST, "10.0.0.1")][..],
            "serviceaccount/token` cannot be read".to_owned(),
        ),
    ] {
        let error = found(&own, &env(root, vars)).await.expect_err(&said);
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{said}");
        assert!(error.message().contains(&said), "{said}: {}", error.message());
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn no_credential_is_in_an_error() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    let good = kubeconfig_text("https://one:1", "");
    let broken = good.replace("token: s3cret", "token: [s3cret");
    let strange = good.replace("token: s3cret", "exec: s3cret");
    let program = |script: &str| {
        let env = "env: [{name: KEY, value: s3cret}]";
        let exec = format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, '{script}'], {env}, interactiveMode: Never}}"
        );
        good.replace("token: s3cret", &exec)
    };
    for (name, text, part) in [
        ("broken", broken, "it is no kubeconfig: line 1"),
        ("strange", strange, "it is no kubeconfig"),
        ("fails", program("echo $KEY; echo no luck >&2; exit 3"), "exit status: 3: no luck"),
        ("junk", program("echo [$KEY"), "the credential that was given makes no sense"),
    ] {
        let path = write(root, name, &text);
        let error = found(&format!("kubeconfig = '{path}'"), &env(root, &[])).await.expect_err(name);
        assert!(error.message().contains(part), "{name}: {error}");
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{name}: {error:?}");
    }
}
