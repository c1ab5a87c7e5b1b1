//! Calls with all rows stored: how long one takes, and how many one processor answers in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use crate::client::{self, Client};
use crate::driver::Memory;
use crate::figure::Figure;
use crate::gateway::{Gateway, Home, On, free_port, leave_to_pinned};
use crate::watch::until_ready;
use crate::{Args, Report, Result};

/// How many clients fill the store, and how many load it.
const CLIENTS: usize = 32;
/// The load is measured for so long, so often.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOWS: usize = 7;
/// Calls before anything is timed.
const WARM_UP: usize = 500;

pub(crate) async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let home = Home::new()?;
    let (_driver, socket) = Memory::serve(home.path())?;
    let on = On::Socket(socket);

    let gateway = home.start(&args.gateway, &on).await?;
    report.show(&fill(&gateway, args.rows).await?);
    let mut client = gateway.client().await?;
    report.show(&gets("GetSandbox", &mut client, args).await?.median_at_most(0.3).p99_at_most(1.5));
    report.show(&lists(&mut client, args).await?.median_at_most(2.0));
    report.show(&gets_beside_writers(&gateway, args).await?);
    report.show(&Figure::new("resident after all of it, external", "MB", vec![gateway.resident_mb()?]));
    gateway.stop().await?;

    let gateway = home.start_with(&args.gateway, &on, None, true).await?;
    report.show(&load(&gateway, args.rows)?.median_at_least(5_000.0));
    gateway.stop().await?;

    let port = free_port()?;
    let gateway = home.start_with(&args.gateway, &on, Some(port), false).await?;
    report.show(&gets_by_tcp(&home, port, args).await?);
    gateway.stop().await?;
    Ok(())
}

fn name(number: usize) -> String {
    format!("bench-{number}")
}

/// Stores the rows through the API, and waits until the last of them is ready.
async fn fill(gateway: &Gateway, rows: usize) -> Result<Figure> {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let fillers = (0..CLIENTS).map(|_| {
        let next = Arc::clone(&next);
        async move {
            let mut client = gateway.client().await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                if number >= rows {
                    return Result::Ok(());
                }
                client::create(&mut client, name(number), "none").await?;
            }
        }
    });
    try_join_all(fillers).await?;
    let mut client = gateway.client().await?;
    for number in [0, rows / 2, rows.saturating_sub(1)] {
        until_ready(&mut client, &name(number)).await?;
    }
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    Ok(Figure::new(format!("creates of {CLIENTS} clients"), "1/s", vec![rate]))
}

/// One client, one call after the other, each for another row.
async fn gets(figure: &str, client: &mut Client, args: &Args) -> Result<Figure> {
    let mut samples = Vec::new();
    for call in 0..WARM_UP + args.runs * 100 {
        // A step that has no divisor in common with the usual numbers of rows: no two calls find the same page at hand.
        let name = name(call * 7_919 % args.rows);
        let begun = Instant::now();
        let found = client::get(client, &name).await?;
        let took = begun.elapsed();
        if found.is_none() {
            return Err(format!("sandbox `{name}` is not there").into());
        }
        if call >= WARM_UP {
            samples.push(took);
        }
    }
    Ok(Figure::ms(figure, &samples))
}

/// The same while others change rows, which is a sync of the disk each.
async fn gets_beside_writers(gateway: &Gateway, args: &Args) -> Result<Figure> {
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..4 {
        let (mut client, over) = (gateway.client().await?, Arc::clone(&over));
        writers.push(tokio::spawn(async move {
            let mut made = 0;
            while !over.load(Ordering::Relaxed) {
                let (_, name) =
                    client::create(&mut client, format!("writer-{writer}-{made}"), "none").await?;
                client::delete(&mut client, &name).await?;
                made += 1;
            }
            Result::Ok(made)
        }));
    }
    let mut client = gateway.client().await?;
    let figure = gets("GetSandbox beside 4 writers", &mut client, args).await;
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    figure
}

/// A page of a hundred, from anywhere in the list.
async fn lists(client: &mut Client, args: &Args) -> Result<Figure> {
    let mut samples = Vec::new();
    for call in 0..WARM_UP / 10 + args.runs * 10 {
        let offset = u32::try_from(call * 7_919 % args.rows.saturating_sub(100).max(1))?;
        let begun = Instant::now();
        let listed = client::list(client, 100, offset).await?;
        let took = begun.elapsed();
        if listed.len() != 100.min(args.rows) {
            return Err(format!("{} sandboxes in a page of 100", listed.len()).into());
        }
        if call >= WARM_UP / 10 {
            samples.push(took);
        }
    }
    Ok(Figure::ms("ListSandboxes of 100", &samples))
}

/// Calls a second of a gateway that has one processor, asked by clients that have the others: a runtime of their own,
/// whose threads keep off the gateway's.
fn load(gateway: &Gateway, rows: usize) -> Result<Figure> {
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            leave_to_pinned();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .on_thread_start(leave_to_pinned)
                .enable_all()
                .build()?;
            runtime.block_on(load_by(gateway, rows))
        });
        loading.join().map_err(|_| "the clients panicked")?
    })
}

async fn load_by(gateway: &Gateway, rows: usize) -> Result<Figure> {
    let (answered, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for at in 0..CLIENTS {
        let (answered, over) = (Arc::clone(&answered), Arc::clone(&over));
        let mut client = gateway.client().await?;
        clients.push(tokio::spawn(async move {
            let mut call = at * 311;
            while !over.load(Ordering::Relaxed) {
                client::get(&mut client, &name(call * 7_919 % rows)).await?;
                answered.fetch_add(1, Ordering::Relaxed);
                call += 1;
            }
            Result::Ok(())
        }));
    }
    let mut samples = Vec::new();
    tokio::time::sleep(WINDOW).await;
    for _ in 0..WINDOWS {
        let (before, begun) = (answered.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(WINDOW).await;
        samples.push((answered.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64());
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await??;
    }
    Ok(Figure::new(format!("GetSandbox of {CLIENTS} clients, one core"), "1/s", samples))
}

/// One client on the port, with the token.
async fn gets_by_tcp(home: &Home, port: u16, args: &Args) -> Result<Figure> {
    let token: MetadataValue<Ascii> = format!("Bearer {}", home.token()?).parse()?;
    let channel = client::connect_tcp(port).await?;
    let mut client = OpenShellClient::with_interceptor(channel, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    });
    let mut samples = Vec::new();
    for call in 0..WARM_UP + args.runs * 100 {
        let request = proto::GetSandboxRequest { name: name(call * 7_919 % args.rows), ..Default::default() };
        let begun = Instant::now();
        client.get_sandbox(request).await?;
        if call >= WARM_UP {
            samples.push(begun.elapsed());
        }
    }
    Ok(Figure::ms("GetSandbox, TCP with a token", &samples))
}
