//! The gRPC service of the pipeline: what tonic would make of its proto, but that outcomes are bytes already.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use emshop_proto::v1::CommandBatch;
use emshop_proto::v1::pipeline_service_server::SERVICE_NAME;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::codec::{BATCH_BYTES_MAX, BatchCodec};
use crate::connections::Peer;
use crate::services::Gateway;
use crate::way::sink::{EncodedBatch, Outcomes};

const SUBMIT: &str = "/emshop.v1.PipelineService/Submit";

#[derive(Clone)]
pub struct PipelineServer {
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
}

impl PipelineServer {
    pub fn new(gateway: Arc<Gateway>, peer: Arc<Peer>) -> Self {
        Self { gateway, peer }
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
        let submit = Submit { gateway: self.gateway.clone(), peer: self.peer.clone() };
        Box::pin(async move {
            match request.uri().path() {
                SUBMIT => {
                    let mut grpc = Grpc::new(BatchCodec).max_decoding_message_size(BATCH_BYTES_MAX);
                    Ok(grpc.streaming(submit, request).await)
                }
                _ => Ok(Status::unimplemented("the pipeline has no such method").into_http()),
            }
        })
    }
}

struct Submit {
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
}

impl StreamingService<CommandBatch> for Submit {
    type Response = EncodedBatch;
    type ResponseStream = Outcomes;
    type Future = Ready<Result<Response<Outcomes>, Status>>;

    fn call(&mut self, request: Request<Streaming<CommandBatch>>) -> Self::Future {
        ready(Ok(Response::new(self.gateway.submit(request, &self.peer))))
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
