//! Several that want the same image, here and in another process, and some that go away in the middle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::bench::{Bench, NAME, SIZE};
use super::build::{Dice, Tar};
use crate::config::Config;
use crate::image::Images;

/// Something that takes a moment to unpack.
fn large() -> Vec<u8> {
    let mut dice = Dice(3);
    let data: Vec<u8> = (0..30_000).map(|_| u8::try_from(dice.roll(256)).expect("a byte")).collect();
    (0..800).fold(Tar::default(), |tar, index| tar.file(format!("d{}/f{index}", index % 20), &data)).end()
}

/// A wrapper of mke2fs that counts its calls and takes its time.
fn counting(root: &std::path::Path) -> std::path::PathBuf {
    let program = root.join("mke2fs");
    let here = root.display();
    let script = format!("#!/bin/sh\necho . >> {here}/calls\nsleep 0.3\nexec /usr/sbin/mke2fs \"$@\"\n");
    // By another process: a program that this one has open for writing while a test beside it forks cannot be run.
    let write = "printf %s \"$1\" > mke2fs && chmod 755 mke2fs";
    let mut sh = std::process::Command::new("sh");
    assert!(sh.args(["-c", write, "sh", &script]).current_dir(root).status().expect("sh").success());
    program
}

fn calls(root: &std::path::Path) -> usize {
    std::fs::read_to_string(root.join("calls")).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_is_done_once() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("image"), large()).expect("a file");
    let config = Config { mke2fs_path: Some(counting(root.path())), ..Config::default() };
    let bench = Bench::of(root, config);
    // Another value over the same directory has nothing in common with the first but the locks, as another process would.
    let other = Images::open(&bench.config, &bench.root.path().join("cache")).expect("images");
    // The file was written long enough ago for its time to tell its states apart.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let here = join_all((0..4).map(|_| bench.prepare(NAME)));
    let there = join_all((0..4).map(|_| other.prepare(NAME, SIZE, &|_| {})));
    let (here, there) = tokio::join!(here, there);
    for prepared in here.into_iter().chain(there) {
        assert!(prepared.expect("an image").disk.exists());
    }
    assert_eq!(calls(bench.root.path()), 1);
    assert_eq!(bench.left("bases").len(), 1);
    bench.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_given_up_and_cleared() {
    let bench = Bench::of_file(&large());
    for wait in [0, 1, 5, 20, 50, 100, 200] {
        let waiting = tokio::time::timeout(Duration::from_millis(wait), bench.prepare(NAME)).await;
        if waiting.is_ok() {
            break;
        }
        bench.idle().await;
    }
    let image = bench.prepare(NAME).await.expect("an image");
    assert!(super::bench::is_whole(&image.disk));
    bench.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_leaves_the_others_alone() {
    let bench = Arc::new(Bench::of_file(&large()));
    let stays = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.prepare(NAME).await })
    };
    let goes = {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.prepare(NAME).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    goes.abort();
    stays.await.expect("a task").expect("an image");
    bench.idle().await;
}

#[tokio::test]
async fn a_base_in_use_outlives_every_sweep() {
    let bench = Bench::of_file(&Tar::default().file("a", b"x").end());
    let image = bench.prepare(NAME).await.expect("an image");
    let pin = bench.root.path().join("base.ext4");
    image.pin(&pin).expect("a pin");
    assert_eq!(image.pin(&pin).expect_err("taken").kind(), std::io::ErrorKind::AlreadyExists);
    drop(image);
    assert_eq!(bench.images.sweep().await.expect("swept"), 0);
    assert_eq!(bench.images.sweep_after(Duration::ZERO).await.expect("swept"), 0);
    std::fs::remove_file(&pin).expect("unpinned");
    let held = bench.prepare(NAME).await.expect("an image");
    assert_eq!(bench.images.sweep_after(Duration::ZERO).await.expect("swept"), 0);
    drop(held);
    assert_eq!(bench.images.sweep_after(Duration::ZERO).await.expect("swept"), 1);
    assert!(bench.left("bases").is_empty() && bench.left("names").is_empty());
    bench.prepare(NAME).await.expect("made anew");
}

/// What is there is found without reading the image again.
#[tokio::test]
async fn a_cached_image_takes_no_time() {
    let bench = Bench::of_file(&large());
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    bench.prepare(NAME).await.expect("an image");
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        bench.prepare(NAME).await.expect("an image");
        best = best.min(begin.elapsed());
    }
    // What it takes when nobody else wants the machine.
    println!("a cached image: {best:?}");
    assert!(best < Duration::from_millis(50), "{best:?}");
}
