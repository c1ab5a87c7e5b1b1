//! The first use of an image against the same disk made by hand. Not run by itself, since it takes a while and a machine that is
//! busy with other things tells nothing:
//!
//! ```text
//! cargo test -p openshell-driver-vm by_hand -- --ignored --nocapture
//! ```

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::bench::{Bench, NAME};
use crate::config::Config;

const DISK: u64 = 8 << 30;
const ROUNDS: usize = 5;

/// About 300 MB of what hosts have in /usr.
fn archive(root: &Path) {
    let script = "cd / && find usr/lib usr/share usr/bin -xdev -type f -o -type l | head -c 100000000 | \
                  while read -r name; do [ -L \"$name\" ] && size=0 || size=$(stat -c %s \"$name\"); total=$((total + size)); \
                  [ $total -gt 300000000 ] && exit 0; echo \"$name\"; done | tar --no-recursion -T - -cf \"$OUT\"";
    let made = Command::new("sh").args(["-c", script]).env("OUT", root.join("image")).status().expect("sh");
    assert!(made.success());
}

fn by_hand(root: &Path, pack: &str) -> Duration {
    let script = "mkdir tree && tar -x$PACK -f image -C tree && truncate -s 8G disk && \
                  mke2fs -q -F -t ext4 -d tree disk";
    let begin = Instant::now();
    let made = Command::new("sh")
        .args(["-c", script])
        .env("PACK", pack)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(root)
        .status()
        .expect("sh");
    let took = begin.elapsed();
    assert!(made.success());
    std::fs::remove_dir_all(root.join("tree")).expect("removed");
    std::fs::remove_file(root.join("disk")).expect("removed");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn first_use_against_the_same_by_hand() {
    let root = tempfile::tempdir().expect("a directory");
    archive(root.path());
    for pack in ["", "z"] {
        if pack == "z" {
            let script = "gzip -1 image && mv image.gz image";
            let packed =
                Command::new("sh").args(["-c", script]).current_dir(root.path()).status().expect("sh");
            assert!(packed.success());
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(by_hand(root.path(), pack));
            let own = tempfile::tempdir().expect("a directory");
            std::fs::hard_link(root.path().join("image"), own.path().join("image")).expect("a link");
            let bench = Bench::of(own, Config::default());
            let begin = Instant::now();
            bench.prepare_of(NAME, DISK).await.expect("an image");
            ours.push(begin.elapsed());
            bench.idle().await;
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let size = std::fs::metadata(root.path().join("image")).expect("a file").len() / 1_000_000;
        println!("{size} MB (tar -x{pack}): first use {ours:.2?}, by hand {theirs:.2?}, ratio {ratio:.2}");
        assert!(ratio <= 1.5, "{ratio:.2}");
    }
}
