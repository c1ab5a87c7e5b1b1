//! Doors come, stay and go; a thousand of them are cheap.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;

use super::*;

fn doors(dir: &Path) -> Arc<Doors> {
    let key = SandboxKey::load_or_create(&dir.join("key"), "gw").expect("a key");
    let sandboxes = dir.join("sandboxes");
    paths::ensure_private(&sandboxes, rustix::process::geteuid().as_raw()).expect("a directory");
    let counters = Metrics::new("0").door(Door::Sandboxes);
    Arc::new(Doors::new(sandboxes, Arc::new(key), &LimitSettings::default(), counters))
}

fn id(text: &str) -> SandboxId {
    SandboxId::new(text).expect("an id")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

#[tokio::test]
async fn a_door_is_open_before_anybody_answers_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().expect("a directory");
    let doors = doors(home.path());
    let sandbox = home.path().join("sandboxes/a");
    doors.open(&id("a")).await.expect("open");
    doors.open(&id("a")).await.expect("a second call changes nothing");
    let socket = sandbox.join("gateway.sock");
    assert_eq!(mode(&home.path().join("sandboxes")), 0o700);
    assert_eq!((mode(&sandbox), mode(&socket)), (0o711, 0o666));
    UnixStream::connect(&socket).expect("it listens");
    doors.close(&id("a")).await;
    assert!(!sandbox.exists());
    doors.close(&id("a")).await;
}

#[tokio::test]
async fn the_directory_outlives_the_gateway_and_the_socket_does_not() {
    let home = tempfile::tempdir().expect("a directory");
    let sandbox = home.path().join("sandboxes/a");
    let first = doors(home.path());
    first.open(&id("a")).await.expect("open");
    let inode = fs::metadata(&sandbox).expect("a directory").ino();
    first.shutdown().await;
    assert!(sandbox.is_dir() && !sandbox.join("gateway.sock").exists());
    let second = doors(home.path());
    second.open(&id("a")).await.expect("open");
    assert_eq!(fs::metadata(&sandbox).expect("a directory").ino(), inode);
    UnixStream::connect(sandbox.join("gateway.sock")).expect("it listens");
}

#[tokio::test]
async fn an_id_that_is_no_name_opens_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let doors = doors(home.path());
    for odd in ["..", "a/b", ".", "a.b", "ä", &"x".repeat(129)] {
        let error = doors.open(&id(odd)).await.expect_err(odd);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        doors.close(&id(odd)).await;
    }
    assert_eq!(fs::read_dir(home.path().join("sandboxes")).expect("the directory").count(), 0);
}

/// What docs/supervisor.md says that a sandbox can make the gateway hold.
#[test]
fn what_a_sandbox_can_make_the_gateway_hold_is_bounded_whatever_clients_may() {
    for streams in [1, 256, 100_000] {
        let bounds = bounds(&LimitSettings { streams, connections: 100_000, ..LimitSettings::default() });
        assert_eq!(bounds.connections, 8);
        assert!(bounds.streams <= streams);
        assert!(bounds.introduction.is_some_and(|time| time <= Duration::from_secs(10)));
        // And what else there may be of a message, which the runtime bounds.
        let each = u64::from(bounds.window) + 16 * 1024;
        let known = u64::try_from(bounds.known).expect("a few");
        assert!(known * u64::from(bounds.streams) * each <= 72 << 20, "{bounds:?}");
    }
    let usual = bounds(&LimitSettings::default());
    assert!(usual.streams >= 200 + 4, "as many as a sandbox may have channels, and its session");
}

#[tokio::test]
async fn a_thousand_doors_are_cheap() {
    const MANY: usize = 1000;
    descriptors_for(MANY);
    let home = tempfile::tempdir().expect("a directory");
    // Deep enough that no socket's path is an address.
    let deep = home.path().join("d".repeat(120));
    let doors = doors(&deep);
    let began = std::time::Instant::now();
    for number in 0..MANY {
        doors.open(&id(&format!("sandbox-{number}"))).await.expect("open");
    }
    let opened = began.elapsed();
    doors.shutdown().await;
    println!("{MANY} doors: opened in {opened:?}, closed in {:?}", began.elapsed() - opened);
    assert!(opened < Duration::from_secs(20), "{opened:?}");
    // What each costs while nobody is there.
    let listener = listen(&deep.join("sandboxes/sandbox-0")).expect("listen");
    let entrance = Entrance::unix(listener, PeerPolicy::default(), Arc::clone(&doors.counters));
    let (_stop, stopping) = watch::channel(false);
    let key = Arc::clone(&doors.key);
    let task = attend(entrance, id("sandbox-0"), key, doors.answers.subscribe(), stopping, doors.limits);
    assert!(size_of_val(&task) < 8 * 1024, "{} bytes", size_of_val(&task));
}

/// A door takes two.
fn descriptors_for(doors: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(doors * 2 + 200).expect("a small number");
    if now.current.is_some_and(|soft| soft < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum }).expect("room");
    }
}
