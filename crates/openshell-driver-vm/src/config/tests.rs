//! Every key, every fault.

use super::*;

fn read(text: &str) -> Result<Config, Vec<ConfigError>> {
    Config::read(&text.parse::<Table>().expect("TOML"))
}

#[test]
fn an_empty_table_is_the_default() {
    assert_eq!(read(""), Ok(Config::default()));
}

#[test]
fn every_key() {
    let config = read(
        r#"
        qemu_path = "/opt/qemu"
        setpriv_path = "/opt/setpriv"
        mke2fs_path = "/opt/mke2fs"
        kernel = "/boot/vmlinuz"
        modules = "/lib/modules/6"
        init_path = "/opt/init"
        machine = "q35"
        accelerator = "tcg"
        images = { "a/b:1" = "/srv/a.tar" }
        insecure_registries = ["127.0.0.1:5000"]
        auth_file_path = "/etc/auth.json"
        pull_policy = "never"
        default_image = "a/b:1"
        disk_size = "1Gi"
        cpus = 2
        memory = "128Mi"
        network = "user"
        networks = ["none"]
        user = "1000"
        uids = { first = 100000, count = 10 }
        kvm_group = false
        pids_limit = 64
        boot_timeout = 10
        hang_after = 5
        stop_timeout = 0
        console_log_size = "64Ki"
        "#,
    );
    let expected = Config {
        qemu_path: Some("/opt/qemu".into()),
        setpriv_path: Some("/opt/setpriv".into()),
        mke2fs_path: Some("/opt/mke2fs".into()),
        kernel: Some("/boot/vmlinuz".into()),
        modules: Some("/lib/modules/6".into()),
        init_path: Some("/opt/init".into()),
        machine: MachineType::Q35,
        accelerator: Accelerator::Tcg,
        images: [("a/b:1".into(), "/srv/a.tar".into())].into(),
        insecure_registries: vec!["127.0.0.1:5000".into()],
        auth_file_path: Some("/etc/auth.json".into()),
        pull_policy: PullPolicy::Never,
        default_image: "a/b:1".into(),
        disk_size: 1 << 30,
        cpus: 2,
        memory: 128 << 20,
        network: Network::User,
        networks: vec![Network::None],
        user: Some("1000".into()),
        uids: Uids { first: 100_000, count: 10 },
        kvm_group: false,
        pids_limit: 64,
        boot_timeout: Duration::from_secs(10),
        hang_after: Duration::from_secs(5),
        stop_timeout: Duration::ZERO,
        console_log_size: 64 << 10,
    };
    assert_eq!(config, Ok(expected));
}

#[test]
fn every_fault_in_one_run() {
    let faults = read(
        r#"
        qemu_path = "qemu"
        kernel = 5
        machine = "pc"
        accelerator = "hvf"
        images = { "a b" = "/srv/a.tar", "b" = "b.tar", "c" = 1 }
        insecure_registries = ["https://r:5"]
        pull_policy = "sometimes"
        default_image = "No Such"
        disk_size = "1Ki"
        cpus = 0
        memory = "1Mi"
        network = "host"
        networks = ["own"]
        user = "a:b:c"
        uids = { first = 0, cuont = 1 }
        kvm_group = "yes"
        pids_limit = 0
        boot_timeout = "long"
        hang_after = 1
        stop_timeout = 61
        console_log_size = "1"
        privileged = true
        memroy = ""
        "#,
    )
    .expect_err("faults");
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "qemu_path",
        "kernel",
        "machine",
        "accelerator",
        "images",
        "images",
        "images",
        "insecure_registries",
        "pull_policy",
        "default_image",
        "disk_size",
        "cpus",
        "memory",
        "network",
        "networks",
        "user",
        "uids",
        "uids",
        "uids",
        "kvm_group",
        "pids_limit",
        "boot_timeout",
        "hang_after",
        "stop_timeout",
        "console_log_size",
        "memroy",
        "privileged",
    ];
    assert_eq!(keys, expected);
    let hint =
        |key: &str| faults.iter().rfind(|fault| fault.key == key).and_then(|fault| fault.hint.as_deref());
    assert_eq!(hint("memroy"), Some("did you mean `memory`?"));
    assert_eq!(hint("qemu_path"), Some("qemu_path = \"/path/to/file\""));
    let uids: Vec<&str> =
        faults.iter().filter(|fault| fault.key == "uids").filter_map(|fault| fault.hint.as_deref()).collect();
    assert_eq!(uids[0], "did you mean `count`?");
}

#[test]
fn users_end_before_the_last_number() {
    assert!(read("uids = { first = 4294967294, count = 1 }").is_ok());
    assert!(read("uids = { first = 4294967294, count = 2 }").is_err());
    assert!(read("uids = 5").is_err());
}
