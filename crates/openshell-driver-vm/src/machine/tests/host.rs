//! What a host has, and what is said when it does not.

use std::os::unix::fs::PermissionsExt;

use openshell_driver_api::ErrorKind;

use super::super::Host;
use super::Bench;
use crate::config::{Accelerator, MachineType};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_guests_is_found_by_running_one() {
    let Some(bench) = Bench::new().await else { return };
    let host = Host::open(&bench.config, bench.dir(), None).await.expect("a host");
    let found = host.accelerator().await.expect("something runs guests");
    assert!(found.kvm || found.why_not_kvm.is_some(), "{found:?}");
    println!("{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_microvm_without_kvm_is_refused() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.config.accelerator = Accelerator::Tcg;
    bench.config.machine = MachineType::Microvm;
    let host = Host::open(&bench.config, bench.dir(), None).await.expect("a host");
    let error = host.accelerator().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert_eq!(error.message(), "`machine = \"microvm\"` runs under KVM only, which is not used");
    assert_eq!(error.hint(), Some("machine = \"auto\""));
}

/// What a QEMU says that ends at once is what the error says.
#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_ends_at_once_is_quoted() {
    let Some(mut bench) = Bench::new().await else { return };
    let qemu = bench.dir().join("qemu");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'QEMU emulator version 9.9.9'\n\
                  echo 'qemu: no such board' >&2\nexit 1\n";
    std::fs::write(&qemu, script).expect("written");
    std::fs::set_permissions(&qemu, PermissionsExt::from_mode(0o755)).expect("a mode");
    std::fs::set_permissions(bench.dir(), PermissionsExt::from_mode(0o755)).expect("a mode");
    bench.config.qemu_path = Some(qemu);
    let host = Host::open(&bench.config, bench.dir(), None).await.expect("a host");
    let error = host.accelerator().await.expect_err("refused");
    let message = error.message();
    assert!(message.starts_with("no guest runs on this host; under TCG: qemu: no such board"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_by_name() {
    let Some(bench) = Bench::new().await else { return };
    let none = || Some("/none".into());
    for (config, message) in [
        (crate::config::Config { qemu_path: none(), ..bench.config.clone() }, "`/none` is no program"),
        (crate::config::Config { setpriv_path: none(), ..bench.config.clone() }, "`/none` is no program"),
        (crate::config::Config { kernel: None, ..bench.config.clone() }, "no kernel is configured"),
        (
            crate::config::Config { modules: none(), ..bench.config.clone() },
            "no modules: `/none` is no directory",
        ),
        (
            crate::config::Config { init_path: none(), ..bench.config.clone() },
            "the guest's first program is not at `/none`",
        ),
    ] {
        let error = Host::open(&config, bench.dir(), None).await.expect_err("refused");
        assert_eq!((error.kind(), error.message()), (ErrorKind::FailedPrecondition, message));
        assert!(error.hint().is_some(), "{error}");
    }
}
