//! `ForwardTcp`: one TCP connection into a sandbox.

use std::sync::Arc;

use futures_util::stream;
use openshell_proto::openshell::v1::tcp_forward_frame::Payload;
use openshell_proto::openshell::v1::{TcpForwardFrame, TcpForwardInit, TcpRelayTarget, tcp_forward_init};
use tonic::{Status, Streaming};

use super::TcpFlow;
use super::channel::Input;
use super::open::Target;
use crate::engine::Engine;
use crate::limits;
use crate::task::AbortOnDrop;

impl Engine {
    /// Connects to a port in a sandbox; gives what comes from there.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `UNIMPLEMENTED` for SSH, and whatever is in the way of a channel.
    pub(crate) async fn forward_tcp(
        self: &Arc<Self>,
        mut frames: Streaming<TcpForwardFrame>,
    ) -> Result<TcpFlow, Status> {
        let Some(TcpForwardFrame { payload: Some(Payload::Init(init)) }) = super::first(&mut frames).await?
        else {
            return Err(Status::invalid_argument("the first frame is no `init`"));
        };
        let (sandbox_id, target) = target(init)?;
        let record = self.reachable(&sandbox_id).await?;
        let mut channel = self.open(&record, &Target::Tcp(target), None).await?;
        let way_in = channel.input().ok_or_else(super::stopping)?;
        // The client's end is the end of this half, and the other may go on.
        channel.close_input();
        let feeding = AbortOnDrop(tokio::spawn(feed(frames, way_in)));
        Ok(Box::pin(stream::unfold(Some((channel, feeding)), |state| async {
            let (mut channel, feeding) = state?;
            match channel.next().await {
                Ok(Some(bytes)) => {
                    let frame = TcpForwardFrame { payload: Some(Payload::Data(bytes)) };
                    Some((Ok(frame), Some((channel, feeding))))
                }
                Ok(None) => {
                    channel.done();
                    None
                }
                Err(status) => Some((Err(status), None)),
            }
        })))
    }
}

/// Passes a client's bytes on, to their end or the connection's.
async fn feed(mut frames: Streaming<TcpForwardFrame>, way_in: Input) {
    loop {
        match frames.message().await {
            Ok(Some(TcpForwardFrame { payload: Some(Payload::Data(bytes)) })) => {
                if !way_in.send_pieces(bytes, |piece| piece).await {
                    return;
                }
            }
            Ok(Some(TcpForwardFrame { payload: Some(Payload::Init(_)) })) => {
                return way_in.end(Status::invalid_argument("a second `init`"));
            }
            // Of a newer client.
            Ok(Some(TcpForwardFrame { payload: None })) => {}
            Ok(None) => return,
            Err(status) => {
                return way_in
                    .end(Status::cancelled(format!("the client's half broke: {}", status.message())));
            }
        }
    }
}

/// Which port of which sandbox.
fn target(init: TcpForwardInit) -> Result<(String, TcpRelayTarget), Status> {
    // Without a host it is the sandbox itself.
    let target = match init.target {
        Some(tcp_forward_init::Target::Tcp(target)) => target,
        Some(tcp_forward_init::Target::Ssh(_)) => {
            return Err(Status::unimplemented(
                "sandboxes have no SSH server; hint: run commands with `openshell sandbox exec`, and reach ports with \
                 `openshell sandbox forward`",
            ));
        }
        None => return Err(Status::invalid_argument("`init.target` is not set")),
    };
    if !(1..=u32::from(u16::MAX)).contains(&target.port) {
        return Err(Status::invalid_argument(format!("`init.target.tcp.port`: {} is no port", target.port)));
    }
    if let Some(fault) = limits::text_fault("init.target.tcp.host", &target.host) {
        return Err(Status::invalid_argument(fault));
    }
    Ok((init.sandbox_id, target))
}

#[cfg(test)]
mod tests {
    use tcp_forward_init::Target::{Ssh, Tcp};
    use tonic::Code;

    use super::*;

    #[test]
    fn what_may_be_connected_to() {
        let init = |target| TcpForwardInit { target, ..Default::default() };
        let tcp = |host: &str, port| init(Some(Tcp(TcpRelayTarget { host: host.to_owned(), port })));
        assert_eq!(target(tcp("", 80)).unwrap().1, TcpRelayTarget { host: String::new(), port: 80 });
        assert_eq!(target(tcp("::1", 65535)).unwrap().1.host, "::1");
        for (bad, code) in [
            (tcp("", 0), Code::InvalidArgument),
            (tcp("", 65_536), Code::InvalidArgument),
            (tcp("a\n", 1), Code::InvalidArgument),
            (init(None), Code::InvalidArgument),
            (init(Some(Ssh(Default::default()))), Code::Unimplemented),
        ] {
            assert_eq!(target(bad).unwrap_err().code(), code);
        }
    }
}
