//! Who may use a base, who may remove it, and what is left of work that was cut off.

use super::*;

fn key(digit: char) -> Key {
    Key { digest: format!("sha256:{}", digit.to_string().repeat(64)), size: 4096 }
}

fn publish(cache: &Cache, key: &Key) -> io::Result<()> {
    let work = cache.work()?;
    let disk = work.path().join("disk.ext4");
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&disk)?.set_len(key.size)?;
    cache.publish(&work, key, &disk, &Runs::default())?;
    cache.name_as(&work, &Named { name: key.directory(), state: "s".into(), digest: key.digest.clone() })?;
    work.clear()
}

fn open() -> (tempfile::TempDir, Cache) {
    let root = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(&root.path().join("images")).expect("a cache");
    (root, cache)
}

#[test]
fn a_base_is_found_by_what_it_is() {
    let (root, cache) = open();
    let key = key('a');
    assert!(cache.find(&key).expect("a cache").is_none());
    publish(&cache, &key).expect("published");
    publish(&cache, &key).expect("published twice");
    let base = cache.find(&key).expect("a cache").expect("a base");
    let mode = std::fs::metadata(&base.disk).expect("a disk").mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(std::fs::metadata(root.path().join("images")).expect("a directory").mode() & 0o7777, 0o700);
    assert!(cache.find(&Key { size: 8192, ..key.clone() }).expect("a cache").is_none());
    // One that is not whole is none, and is made anew.
    std::fs::write(base.disk.with_file_name("image.json"), "{").expect("a file");
    drop(base);
    assert!(cache.find(&key).expect("a cache").is_none());
    publish(&cache, &key).expect("published");
    assert!(cache.find(&key).expect("a cache").is_some());
    assert_eq!(std::fs::read_dir(root.path().join("images/work")).expect("a directory").count(), 0);
}

#[test]
fn what_is_in_use_is_not_swept() {
    let (root, cache) = open();
    for digit in ['a', 'b', 'c'] {
        publish(&cache, &key(digit)).expect("published");
    }
    let held = cache.find(&key('a')).expect("a cache").expect("a base");
    let pinned = cache.find(&key('b')).expect("a cache").expect("a base");
    std::fs::hard_link(&pinned.disk, root.path().join("pin")).expect("a link");
    drop(pinned);
    assert_eq!(cache.sweep(Duration::from_secs(60)).expect("swept"), 0, "used lately");
    assert_eq!(cache.sweep(Duration::ZERO).expect("swept"), 1);
    let there = |digit| cache.find(&key(digit)).expect("a cache").is_some();
    assert!(there('a') && there('b') && !there('c'));
    let named = |digit| cache.named(&key(digit).directory()).expect("a cache").is_some();
    assert!(named('a') && named('b') && !named('c'));
    drop(held);
    std::fs::remove_file(root.path().join("pin")).expect("a pin");
    assert_eq!(cache.sweep(Duration::ZERO).expect("swept"), 2);
}

#[test]
fn what_was_half_made_goes_with_the_next_start_and_what_is_being_made_stays() {
    let (root, cache) = open();
    let root = root.path().join("images");
    let alive = cache.work().expect("work");
    for dead in ["1-1", "1-2"] {
        std::fs::create_dir_all(root.join("work").join(dead).join("tree/etc")).expect("a directory");
    }
    // One was killed after it had its lock, the other before.
    std::fs::write(root.join("work/1-1/lock"), "").expect("a file");
    Cache::open(&root).expect("a cache");
    let left: Vec<_> = std::fs::read_dir(root.join("work")).expect("a directory").flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].path(), alive.path());
    drop(alive);
    let gone = || std::fs::read_dir(root.join("work")).expect("a directory").count() == 0;
    for _ in 0..6000 {
        if gone() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("what was dropped is still there");
}

#[tokio::test]
async fn one_at_a_time_makes_an_image() {
    let (_root, cache) = open();
    let first = cache.turn("a").await.expect("a turn");
    let waits = |name: &'static str| {
        let cache = cache.clone();
        async move { tokio::time::timeout(Duration::from_millis(120), cache.turn(name)).await.is_err() }
    };
    assert!(waits("a").await);
    drop(first);
    assert!(!waits("a").await);
}
