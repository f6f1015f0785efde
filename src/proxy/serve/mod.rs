//! Drives a connection from its first request to its end, in the protocol that its client speaks.

mod http1;
mod http2;
mod tunnel;
mod write_reply;

use std::rc::Rc;

use super::arrive::{Arrived, Protocol};
use super::client::Connection;
use super::wire::Wire;
use super::worker::Worker;
use http1::Ended;

pub async fn serve(worker: &Rc<Worker>, arrived: Arrived) {
    let Arrived { stream, origin, protocol } = arrived;
    let (origin, limits) = (Rc::new(origin), worker.view().limits.clone());
    if protocol == Protocol::Http2 {
        return Box::pin(http2::serve(worker, Wire::new(stream), origin, limits)).await;
    }
    let connection = Connection::new(worker.clock(), stream, origin.clone(), limits.clone());
    if http1::serve(worker, &connection, protocol == Protocol::Either).await == Ended::Http2
        && let Some(wire) = connection.into_wire()
    {
        Box::pin(http2::serve(worker, wire, origin, limits)).await;
    }
}
