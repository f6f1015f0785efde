//! The layers around the API's handlers, in one list. Each request passes them before its handler, and its answer on the way back. The
//! listener for probes has none of them.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::classify::ServerErrorsFailureClass;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::access::{Access, Denial, Limit, Reach, Rules, log_blocked};
use super::connections::{Kind, Peer};
use super::context::{Caller, Context};
use super::problem::ApiError;

/// Requests to the API are small; a larger body is a mistake.
const BODY_MAX: usize = 256 * 1024;
/// The time limit for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A UUID has 36 characters, and the ids of other systems are rarely longer than twice that.
const REQUEST_ID_MOST: usize = 128;

/// Puts the layers around the routes. There is no time limit for a whole request: a stream of events does not end, a drill takes
/// minutes, and a change runs to its end in the controller's task in any case.
pub fn around(routes: Router<Context>, context: &Context) -> Router<Context> {
    // The outermost layer is the first: a request passes them from the top, its answer from the bottom.
    routes.layer(
        ServiceBuilder::new()
            // A client's own id is dropped if it does not fit into a log line.
            .map_request(without_unfit_id)
            // Each request has an id: the client's, or a new one.
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            // Each answer has the request's id, also an answer of the layers below.
            .layer(PropagateRequestIdLayer::x_request_id())
            // Each log line about the request has its id. Status 500 has a line of its own.
            .layer(
                TraceLayer::new_for_http()
                    .make_span_with(span)
                    .on_request(())
                    .on_response(())
                    .on_body_chunk(())
                    .on_eos(())
                    .on_failure(log_failure),
            )
            // A panic below ends this request with a 500, and not the connection.
            .layer(CatchPanicLayer::custom(panicked))
            // Only an authorised request goes on.
            .layer(from_fn_with_state(context.clone(), authorise))
            // A body is limited in size. This only sets the limit for the next layer, which answers with a problem document.
            .layer(DefaultBodyLimit::max(BODY_MAX))
            // A handler gets a whole body, so that it never waits for the client. The time limit is for the whole body, while
            // that of `tower-http` would be for each piece.
            .layer(from_fn(read_body)),
    )
}

fn without_unfit_id(mut request: Request) -> Request {
    let is_fit = |id: &HeaderValue| (1..=REQUEST_ID_MOST).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if !request.headers().get(&REQUEST_ID).is_some_and(is_fit) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// The span shows the route and not the path, because the path of a link is a secret. Its level is `error`, so that it is there at
/// every log level.
fn span(request: &Request) -> Span {
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    tracing::error_span!("request", request_id = id, method = %request.method(), route)
}

/// Status 503 is not logged here: probes and other clients ask until it is over, and its cause is logged where it begins.
fn log_failure(failure: ServerErrorsFailureClass, took: Duration, _: &Span) {
    if matches!(failure, ServerErrorsFailureClass::StatusCode(StatusCode::INTERNAL_SERVER_ERROR)) {
        tracing::error!(took_micros = took.as_micros() as u64, "a request to the admin listener failed: it is answered 500");
    }
}

/// The panic's hook has logged the message, with the request's id.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::panicked().into_response()
}

/// The only place that authorises requests.
async fn authorise(
    State(context): State<Context>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if ![Method::GET, Method::HEAD, Method::PUT, Method::POST].contains(request.method()) {
        return Err(ApiError::method_not_allowed());
    }
    let admin = context.keys.current();
    if peer.rules != Rules::of(&admin) {
        return Err(ApiError::other_rules());
    }
    let access = Access { admin: &admin, address: context.address, peer: &peer };
    let granted =
        access.check(request.method(), request.uri().path(), request.headers()).map_err(|denial| denied(&context, &peer, denial))?;
    let is_open = granted.reach == Reach::Open;
    let path = request.uri().path();
    let is_short = matches!(path, "/livez" | "/readyz") || (!is_open && path != "/v1/events");
    if peer.place.kind() == Kind::Reserved && !is_short {
        return Err(ApiError::full());
    }
    let mut request = match is_open {
        // An open path needs neither a token nor a body, so the body is not read.
        true => request.map(|_| Body::empty()),
        false => {
            peer.place.mark_authorised();
            request
        }
    };
    request.extensions_mut().insert(Caller { name: granted.actor, scope: granted.scope });
    request.extensions_mut().insert(granted.reach);
    Ok(next.run(request).await)
}

/// Counts a refusal. An address with too many wrong tokens gets only a 429.
fn denied(context: &Context, peer: &Peer, denial: Denial) -> ApiError {
    let limit = match denial {
        Denial::BadToken => context.attempts.failed(peer.address, Instant::now()),
        Denial::NoToken
        | Denial::Scope { .. }
        | Denial::Bot { .. }
        | Denial::NotForOneBot { .. }
        | Denial::Remote(_)
        | Denial::Forwarded(_)
        | Denial::Host(_)
        | Denial::Origin
        | Denial::ContentType => Limit::Within,
    };
    context.metrics.denied(if limit == Limit::Within { denial.reason() } else { "too_many_attempts" });
    match limit {
        Limit::Within => denial.into(),
        Limit::JustExceeded { retry_after } => {
            log_blocked(peer.address, retry_after);
            ApiError::too_many(retry_after)
        }
        Limit::Exceeded { retry_after } => ApiError::too_many(retry_after),
    }
}

/// Reads the whole body, within a time limit.
async fn read_body(request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| ApiError::too_slow(BODY_TIMEOUT))??;
    Ok(next.run(Request::from_parts(parts, body.into())).await)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::*;
    use crate::admin::access::Keys;
    use crate::admin::connections::serve;
    use crate::config::Bot;
    use crate::controller::{self, Checking, Sides};
    use crate::meters::Metrics;
    use crate::notify::Notifications;
    use crate::store::{Place, Store};
    use crate::telemetry::Exporter;

    /// No test of this file makes a change, so no upstream is checked.
    struct NoSides;

    impl Sides for NoSides {
        fn connects<'a>(&'a self, _: &'a Bot, _: usize, _: Duration) -> Checking<'a> {
            Box::pin(async { Ok(()) })
        }

        fn preflight<'a>(&'a self, _: &'a Bot, _: usize) -> Checking<'a> {
            Box::pin(async { Ok(()) })
        }
    }

    /// A context in memory, without tokens.
    async fn context(address: SocketAddr) -> Context {
        let text = "[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = { blue = \"http://a\" }\n";
        let config = crate::config::parse(text, Path::new("serin.toml")).unwrap();
        let (metrics, admin) = (Arc::new(Metrics::new(1, Vec::new())), config.admin.clone());
        let history = Store::open(Place::Memory("a test".to_owned()), config.history.keep).unwrap();
        let (controller, _) = controller::begin(config, metrics.clone(), history, Arc::new(NoSides)).await;
        let (controller, keys) = (Arc::new(controller), Arc::new(Keys::new(&admin, metrics.clone())));
        let live = controller.live().clone();
        let notifications = Arc::new(Notifications::new(live.clone(), controller.clone(), metrics.clone()));
        let exporter = Exporter::new(metrics.clone(), live.clone(), controller.store().clone());
        Context { live, controller, metrics, exporter, keys, attempts: Arc::default(), notifications, ready: Arc::default(), address }
    }

    /// Serves these routes inside the layers. Returns one connection to them.
    async fn connected(routes: Router<Context>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let context = context(address).await;
        let (keys, metrics, router) = (context.keys.clone(), context.metrics.clone(), around(routes, &context).with_state(context));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            serve(listener, router, keys, metrics, stopped).await;
            drop(stop);
        });
        TcpStream::connect(address).await.unwrap()
    }

    /// Sends a GET, and returns the head and the body of the answer in lower case.
    async fn ask(stream: &mut TcpStream, path: &str, fields: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection has ended");
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length: usize = field(head, "content-length").unwrap().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
    }

    fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn routes() -> Router<Context> {
        let panics = get(|| async {
            if true {
                panic!("a handler that panics");
            }
        });
        Router::new().route("/panics", panics).route("/works", get(|| async { "it works" }))
    }

    #[tokio::test]
    async fn a_handler_that_panics_answers_500_and_its_connection_goes_on() {
        let mut stream = connected(routes()).await;
        for _ in 0..2 {
            let answer = ask(&mut stream, "/panics", "X-Request-Id: deploy-7\r\n").await;
            assert!(answer.starts_with("http/1.1 500 ") && answer.contains("\"code\":\"internal\""), "{answer}");
            assert_eq!(field(&answer, "content-type"), Some("application/problem+json"));
            assert_eq!(field(&answer, "x-request-id"), Some("deploy-7"));
            let answer = ask(&mut stream, "/works", "").await;
            assert!(answer.starts_with("http/1.1 200 ") && answer.ends_with("it works"), "{answer}");
        }
    }

    #[tokio::test]
    async fn an_id_that_is_missing_or_does_not_fit_is_replaced() {
        let mut stream = connected(routes()).await;
        let (long, most) = ("a".repeat(REQUEST_ID_MOST + 1), "a".repeat(REQUEST_ID_MOST));
        for fields in ["", "X-Request-Id:\r\n", "X-Request-Id: \u{e9}\r\n", "X-Request-Id: a b\r\n", &format!("X-Request-Id: {long}\r\n")] {
            let answer = ask(&mut stream, "/works", fields).await;
            assert_eq!(field(&answer, "x-request-id").map(str::len), Some(36), "{fields:?}: {answer}");
        }
        let answer = ask(&mut stream, "/works", &format!("X-Request-Id: {most}\r\n")).await;
        assert_eq!(field(&answer, "x-request-id"), Some(most.as_str()));
    }
}
