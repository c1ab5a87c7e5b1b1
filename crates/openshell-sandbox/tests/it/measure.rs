//! Figures: `cargo test -p openshell-sandbox --test it -- --ignored --nocapture measure`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as Out;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as In;

use crate::gateway::{Gateway, Ways};
use crate::program::Program;

const GIB: usize = 1 << 30;

fn rate(bytes: usize, took: Duration) -> String {
    format!("{:.0} MiB/s", bytes as f64 / f64::from(1 << 20) / took.as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure() {
    let gateway = Gateway::up(Ways::default());
    let program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    gateway.session(0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("idle: {}", program.memory());

    let mut took: Vec<_> = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        assert_eq!(gateway.exec(&["/bin/true"]).await.outcome().await.code, Some(0));
        took.push(began.elapsed());
    }
    took.sort();
    println!("`true`, round trip: p50 {:?}, p99 {:?}", took[100], took[198]);

    let began = Instant::now();
    let mut exec = gateway.exec(&["/bin/sh", "-c", "head -c 1073741824 /dev/zero"]).await;
    let mut read = 0;
    while let Some(frame) = exec.next().await {
        if let Out::Stdout(bytes) = frame {
            read += bytes.len();
        }
    }
    assert_eq!(read, GIB);
    println!("1 GiB out: {}; {}", rate(GIB, began.elapsed()), program.memory());

    let began = Instant::now();
    let mut exec = gateway.exec(&["/bin/sh", "-c", "cat >/dev/null"]).await;
    exec.started().await;
    let piece = Bytes::from(vec![7; 128 << 10]);
    for _ in 0..GIB / piece.len() {
        exec.frame(In::Stdin(piece.clone())).await;
    }
    exec.stdin_end().await;
    assert_eq!(exec.outcome().await.code, Some(0));
    println!("1 GiB in: {}; {}", rate(GIB, began.elapsed()), program.memory());
}
