//! What users keep: favourites, addresses, messages.

use emshop_proto::internal::{FavouriteQuery, Messages, PageQuery};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::user_operation_service_server::UserOperationService;
use emshop_proto::v1::{
    AddFavouriteRequest, Address, AddressResponse, CreateAddressRequest, CreateMessageRequest, DeleteAddressRequest, Favourite,
    FavouriteResponse, GetFavouriteRequest, GetFavouriteResponse, ListAddressesRequest, ListAddressesResponse,
    ListFavouritesRequest, ListFavouritesResponse, ListMessagesRequest, ListMessagesResponse, MessageResponse,
    RemoveFavouriteRequest, UpdateAddressRequest,
};
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::queries::questions;
use crate::{page_token, validate};

const PAGE_SIZE_DEFAULT: u32 = 20;

#[tonic::async_trait]
impl UserOperationService for Gateway {
    async fn add_favourite(&self, request: Request<AddFavouriteRequest>) -> Result<Response<FavouriteResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::AddFavourite).await?;
        respond!(outcome, Favourite, FavouriteResponse { favourite })
    }

    async fn remove_favourite(&self, request: Request<RemoveFavouriteRequest>) -> Result<Response<FavouriteResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::RemoveFavourite).await?;
        respond!(outcome, Favourite, FavouriteResponse { favourite })
    }

    async fn get_favourite(&self, request: Request<GetFavouriteRequest>) -> Result<Response<GetFavouriteResponse>, Status> {
        let request = request.into_inner();
        accept(validate::get_favourite(&request))?;
        let GetFavouriteRequest { user_id, goods_id } = request;
        let favourite = self.ask_of_user(user_id, questions::Favourite(FavouriteQuery { user_id, goods_id })).await?;
        Ok(Response::new(GetFavouriteResponse { favourite: Some(favourite) }))
    }

    async fn list_favourites(&self, request: Request<ListFavouritesRequest>) -> Result<Response<ListFavouritesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_favourites(&request))?;
        let [after_ms, after] = page_token::start(&request.page_token);
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let question = PageQuery { after, after_ms: after_ms.cast_signed(), ..first_page(request.user_id, size) };
        let mut list = self.ask_of_user(request.user_id, questions::Favourites(question)).await?;
        let position = |last: &Favourite| [last.added_at_ms.cast_unsigned(), last.goods_id];
        list.next_page_token = page_token::cut(&mut list.favourites, size, position);
        Ok(Response::new(list))
    }

    async fn create_address(&self, request: Request<CreateAddressRequest>) -> Result<Response<AddressResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateAddress).await?;
        respond!(outcome, Address, AddressResponse { address })
    }

    async fn update_address(&self, request: Request<UpdateAddressRequest>) -> Result<Response<AddressResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateAddress).await?;
        respond!(outcome, Address, AddressResponse { address })
    }

    async fn delete_address(&self, request: Request<DeleteAddressRequest>) -> Result<Response<AddressResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::DeleteAddress).await?;
        respond!(outcome, Address, AddressResponse { address })
    }

    async fn list_addresses(&self, request: Request<ListAddressesRequest>) -> Result<Response<ListAddressesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_addresses(&request))?;
        let [after_default, after] = page_token::start(&request.page_token);
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let question = PageQuery { after, after_ms: after_default.cast_signed(), ..first_page(request.user_id, size) };
        let mut list = self.ask_of_user(request.user_id, questions::Addresses(question)).await?;
        let position = |last: &Address| [u64::from(last.is_default), last.address_id];
        list.next_page_token = page_token::cut(&mut list.addresses, size, position);
        Ok(Response::new(list))
    }

    async fn create_message(&self, request: Request<CreateMessageRequest>) -> Result<Response<MessageResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateMessage).await?;
        respond!(outcome, Message, MessageResponse { message })
    }

    async fn list_messages(&self, request: Request<ListMessagesRequest>) -> Result<Response<ListMessagesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_messages(&request))?;
        let [after] = page_token::start(&request.page_token);
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let (user_id, filter) = (request.user_id, request.kind() as u32);
        let question = PageQuery { user_id, limit: size, after, filter, ..PageQuery::default() };
        let Messages { messages, after } = self.ask_of_user(user_id, questions::Messages(question)).await?;
        Ok(Response::new(ListMessagesResponse { messages, next_page_token: page_token::after(after) }))
    }
}

/// One more than the page tells whether there is another page.
fn first_page(user_id: u64, size: u32) -> PageQuery {
    PageQuery { user_id, limit: size + 1, ..PageQuery::default() }
}
