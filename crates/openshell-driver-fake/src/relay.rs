//! A front door that looks at the first bytes of a connection, for the fault that a stranger's bytes deafen the driver.

use std::io;
use std::path::Path;
use std::sync::Arc;

use openshell_uds::{Acceptor, Limits, Listener, PeerPolicy, Visitor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::door::Door;

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 3] = b"PRI";

/// As `serve_with` of the sockets' crate, behind a relay: it stops accepting once somebody has spoken something else.
pub(crate) async fn serve(
    front: Listener,
    policy: PeerPolicy,
    door: Door,
    shutdown: impl Future<Output = ()>,
    limits: Limits,
) -> io::Result<()> {
    let mut behind = front.path().to_owned();
    behind.as_mut_os_string().push(".behind");
    let inner = openshell_uds::bind(&behind).map_err(io::Error::other)?;
    let acceptor = Acceptor::new(front, policy.clone())?;
    let junk = Arc::new(Notify::new());
    let accept = async {
        loop {
            tokio::select! {
                biased;
                () = junk.notified() => std::future::pending::<()>().await,
                visitor = acceptor.accept() => if let Visitor::Guest(stream, _) = visitor? {
                    let (behind, junk) = (behind.clone(), Arc::clone(&junk));
                    tokio::spawn(async move {
                        // How a relayed connection ends is nobody's concern.
                        let _ = relay(stream, &behind, &junk).await;
                    });
                },
            }
        }
    };
    tokio::select! {
        served = openshell_uds::serve_with(inner, policy, door, shutdown, limits) => served,
        failed = accept => failed,
    }
}

async fn relay(mut outer: UnixStream, behind: &Path, junk: &Notify) -> io::Result<()> {
    let mut first = [0; PREFACE.len()];
    outer.read_exact(&mut first).await?;
    if first != *PREFACE {
        junk.notify_one();
        return Ok(());
    }
    let mut inner = UnixStream::connect(behind).await?;
    inner.write_all(&first).await?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await.map(|_| ())
}
