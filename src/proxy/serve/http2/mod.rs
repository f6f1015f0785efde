//! One client connection in HTTP/2. The crate `h2` reads and writes its frames; each of its streams is one request, and is handled
//! like a request in HTTP/1.

mod answer;
mod connection;
mod lanes;
mod request;
mod streams;

pub use connection::serve;
