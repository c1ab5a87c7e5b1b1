//! What comes before the messages are read: the bytes of a request and of its answer, where prost would already have
//! dropped what it does not know.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use openshell_proto::compute::v1::compute_driver_server::ComputeDriverServer;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service as HttpService;

use crate::service::Service;
use crate::world::Driver;
use crate::{Contract, Fault};

/// The one method whose request is empty, so that whatever is in it is unknown.
const GREETING: &str = "/openshell.compute.v1.ComputeDriver/GetCapabilities";
/// `supports_gpu = true` and `gpu_count = 2` as the fields 4 and 5, which are reserved now.
const GPUS: &[u8] = &[4 << 3, 1, 5 << 3, 2];
/// A frame's flag and length.
const PREFIX: usize = 5;

/// The service with what a scenario does to its bytes.
#[derive(Clone)]
pub(crate) struct Door {
    driver: Arc<Driver>,
    inner: ComputeDriverServer<Service>,
}

impl Door {
    pub(crate) fn new(driver: Arc<Driver>, inner: ComputeDriverServer<Service>) -> Self {
        Self { driver, inner }
    }
}

impl<B> HttpService<Request<B>> for Door
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + std::fmt::Debug + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (driver, mut inner) = (Arc::clone(&self.driver), self.inner.clone());
        Box::pin(async move {
            let greeting = request.uri().path() == GREETING;
            let (refused, echoed) =
                (driver.has(Fault::UnknownFieldsRefused), driver.has(Fault::UnknownFieldsEchoed));
            let early = driver.scenario.contract == Contract::Early;
            if !(greeting && (refused || echoed || early)) {
                let answer = inner.call(request).await?;
                let unknown = answer.headers().get("grpc-status").is_some_and(|status| status == "12");
                let served = unknown && driver.has(Fault::UnknownMethodInternal);
                return Ok(if served { Status::internal("what?").into_http() } else { answer });
            }
            let (head, body) = request.into_parts();
            // A request that breaks off has no answer that anybody reads.
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let message = body.slice(PREFIX.min(body.len())..);
            if refused && !message.is_empty() {
                return Ok(Status::invalid_argument("the request has a field that is not known").into_http());
            }
            let answer = inner.call(Request::from_parts(head, Full::new(body))).await?;
            let answer = if early { append(answer, &Bytes::from_static(GPUS)).await } else { answer };
            Ok(if echoed { append(answer, &message).await } else { answer })
        })
    }
}

/// An answer of one message, with further fields at its end.
async fn append(answer: Response<Body>, fields: &Bytes) -> Response<Body> {
    let (head, body) = answer.into_parts();
    if body.is_end_stream() {
        return Response::from_parts(head, body);
    }
    let Ok(whole) = body.collect().await else { return Status::internal("the answer broke off").into_http() };
    let trailers = whole.trailers().cloned().unwrap_or_default();
    let frame = whole.to_bytes();
    let message = frame.get(PREFIX..).unwrap_or_default();
    let mut longer = BytesMut::new();
    longer.put_u8(0);
    longer.put_u32(u32::try_from(message.len() + fields.len()).unwrap_or(u32::MAX));
    longer.put_slice(message);
    longer.put_slice(fields);
    let trailers = std::future::ready(Some(Ok::<_, Infallible>(trailers)));
    Response::from_parts(head, Body::new(Full::new(longer.freeze()).with_trailers(trailers)))
}
