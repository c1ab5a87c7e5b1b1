//! What the gateway sends to a supervisor: a bounded queue, until it is over.

use std::pin::Pin;

use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::Status;

/// An answer that is a stream.
pub(crate) type Flow<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Two queues as one stream: what is urgent overtakes the rest. It ends when nobody can send the rest any more, and with
/// an error as soon as it is over.
pub(super) fn until_over<T: Send + 'static>(
    urgent: mpsc::Receiver<T>,
    rest: mpsc::Receiver<T>,
    over: watch::Receiver<Option<Status>>,
) -> Flow<T> {
    Box::pin(stream::unfold(Some((urgent, rest, over)), |queues| async {
        let (mut urgent, mut rest, mut over) = queues?;
        let next = tokio::select! {
            biased;
            status = ended(&mut over) => return Some((Err(status), None)),
            // A queue that is closed has nothing; what is urgent may be said for as long as the rest may.
            Some(next) = urgent.recv() => Some(next),
            next = rest.recv() => next,
        };
        next.map(|next| (Ok(next), Some((urgent, rest, over))))
    }))
}

/// Ready once it is over, with the reason. Whoever could end it and is gone has not.
pub(super) async fn ended(over: &mut watch::Receiver<Option<Status>>) -> Status {
    if let Ok(status) = over.wait_for(Option::is_some).await
        && let Some(status) = status.clone()
    {
        return status;
    }
    std::future::pending().await
}
