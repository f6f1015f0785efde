//! Drives a connection from its first request to its end, in the protocol that its client speaks.

mod http1;
mod http2;
mod tunnel;
mod write_reply;

use std::rc::Rc;

use super::arrive::Arrived;
use super::client::{Connection, Protocol};
use super::wire::Wire;
use super::worker::{Occupant, Worker};
use crate::meters::Closed;
use http1::Ended;

/// Returns why serin closed the connection before its usual end, if it did.
pub async fn serve(worker: &Rc<Worker>, occupant: &Rc<Occupant>, arrived: Arrived) -> Option<Closed> {
    let Arrived { stream, origin, protocol } = arrived;
    let (origin, bounds) = (Rc::new(origin), (worker.view().limits.clone(), worker.budget().clone()));
    if protocol == Protocol::Http2 {
        return Box::pin(http2::serve(worker, occupant, Wire::new(stream), origin, bounds)).await;
    }
    let connection = Connection::new(occupant.clone(), stream, origin.clone(), bounds.clone());
    match http1::serve(worker, &connection, protocol == Protocol::Either).await {
        Ended::Usually => None,
        Ended::For(reason) => Some(reason),
        Ended::Http2 => {
            let wire = connection.into_wire()?;
            Box::pin(http2::serve(worker, occupant, wire, origin, bounds)).await
        }
    }
}
