//! The gRPC service of the pipeline: what tonic would make of its proto, but that outcomes are bytes already.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BufMut;
use emshop_proto::v1::CommandBatch;
use emshop_proto::v1::pipeline_service_server::SERVICE_NAME;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstDecoder;
use tower::Service;

use crate::services::Gateway;
use crate::way::sink::{EncodedBatch, Outcomes};

const SUBMIT: &str = "/emshop.v1.PipelineService/Submit";

#[derive(Clone)]
pub struct PipelineServer {
    gateway: Arc<Gateway>,
}

impl PipelineServer {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }
}

impl NamedService for PipelineServer {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for PipelineServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let submit = Submit(self.gateway.clone());
        Box::pin(async move {
            match request.uri().path() {
                SUBMIT => Ok(Grpc::new(BatchCodec).streaming(submit, request).await),
                _ => Ok(Status::unimplemented("the pipeline has no such method").into_http()),
            }
        })
    }
}

struct Submit(Arc<Gateway>);

impl StreamingService<CommandBatch> for Submit {
    type Response = EncodedBatch;
    type ResponseStream = Outcomes;
    type Future = Ready<Result<Response<Outcomes>, Status>>;

    fn call(&mut self, request: Request<Streaming<CommandBatch>>) -> Self::Future {
        ready(Ok(Response::new(self.0.submit(request))))
    }
}

/// Decodes commands, and takes batches of outcomes as they are.
struct BatchCodec;

impl Codec for BatchCodec {
    type Encode = EncodedBatch;
    type Decode = CommandBatch;
    type Encoder = BatchEncoder;
    type Decoder = ProstDecoder<CommandBatch>;

    fn encoder(&mut self) -> BatchEncoder {
        BatchEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<CommandBatch> {
        ProstDecoder::default()
    }
}

struct BatchEncoder;

impl Encoder for BatchEncoder {
    type Item = EncodedBatch;
    type Error = Status;

    fn encode(&mut self, batch: EncodedBatch, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(batch.parts.iter().map(Vec::len).sum());
        batch.parts.iter().for_each(|part| buffer.put_slice(part));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::access::METHODS;

    use super::*;

    #[test]
    fn all_methods_of_the_proto_are_served() {
        let ours = METHODS.iter().filter(|method| method.path[1..].starts_with(SERVICE_NAME));
        assert_eq!(ours.map(|method| method.path).collect::<Vec<_>>(), [SUBMIT]);
    }
}
