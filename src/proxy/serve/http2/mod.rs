//! One client connection in HTTP/2, by hyper's server. Each of its streams is one request, and is handled like a request in HTTP/1.

mod connection;
mod reply;
mod request;
mod streams;

pub use connection::serve;
