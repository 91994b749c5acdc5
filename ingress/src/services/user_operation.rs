use emshop_proto::internal::{FavouriteQuery, PageQuery, query, query_reply};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::user_operation_service_server::UserOperationService;
use emshop_proto::v1::{
    AddFavouriteRequest, Address, AddressResponse, CreateAddressRequest, CreateMessageRequest, DeleteAddressRequest, Favourite,
    FavouriteResponse, GetFavouriteRequest, GetFavouriteResponse, ListAddressesRequest, ListAddressesResponse,
    ListFavouritesRequest, ListFavouritesResponse, ListMessagesRequest, ListMessagesResponse, MessageResponse,
    RemoveFavouriteRequest, UpdateAddressRequest, UserMessage,
};
use tonic::{Request, Response, Status};

use super::{accept, respond};
use crate::gateway::Gateway;
use crate::queries::unexpected;
use crate::{position_token, validate};

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
        match self.ask_of_user(user_id, query::Body::Favourite(FavouriteQuery { user_id, goods_id })).await? {
            query_reply::Body::Favourite(favourite) => Ok(Response::new(GetFavouriteResponse { favourite: Some(favourite) })),
            _ => Err(unexpected("not a favourite")),
        }
    }

    async fn list_favourites(&self, request: Request<ListFavouritesRequest>) -> Result<Response<ListFavouritesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_favourites(&request))?;
        let [after_ms, after] = position_token::decode(&request.page_token).unwrap_or_default();
        let size = page_size(request.page_size);
        let question = PageQuery { after, after_ms: after_ms.cast_signed(), ..first_page(request.user_id, size) };
        match self.ask_of_user(request.user_id, query::Body::Favourites(question)).await? {
            query_reply::Body::Favourites(mut list) => {
                let position = |last: &Favourite| [last.added_at_ms.cast_unsigned(), last.goods_id];
                list.next_page_token = cut(&mut list.favourites, size, position);
                Ok(Response::new(list))
            }
            _ => Err(unexpected("not favourites")),
        }
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
        let [after_default, after] = position_token::decode(&request.page_token).unwrap_or_default();
        let size = page_size(request.page_size);
        let question = PageQuery { after, after_ms: after_default.cast_signed(), ..first_page(request.user_id, size) };
        match self.ask_of_user(request.user_id, query::Body::Addresses(question)).await? {
            query_reply::Body::Addresses(mut list) => {
                let position = |last: &Address| [u64::from(last.is_default), last.address_id];
                list.next_page_token = cut(&mut list.addresses, size, position);
                Ok(Response::new(list))
            }
            _ => Err(unexpected("not addresses")),
        }
    }

    async fn create_message(&self, request: Request<CreateMessageRequest>) -> Result<Response<MessageResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::CreateMessage).await?;
        respond!(outcome, Message, MessageResponse { message })
    }

    async fn list_messages(&self, request: Request<ListMessagesRequest>) -> Result<Response<ListMessagesResponse>, Status> {
        let request = request.into_inner();
        accept(validate::list_messages(&request))?;
        let [after] = position_token::decode(&request.page_token).unwrap_or_default();
        let size = page_size(request.page_size);
        let question = PageQuery { after, filter: request.kind() as u32, ..first_page(request.user_id, size) };
        match self.ask_of_user(request.user_id, query::Body::Messages(question)).await? {
            query_reply::Body::Messages(mut list) => {
                list.next_page_token = cut(&mut list.messages, size, |last: &UserMessage| [last.message_id]);
                Ok(Response::new(list))
            }
            _ => Err(unexpected("not messages")),
        }
    }
}

impl Gateway {
    /// Asks the engine that has all that is a user's.
    async fn ask_of_user(&self, user_id: u64, question: query::Body) -> Result<query_reply::Body, Status> {
        self.queries.ask(self.queries.partitioner.of_user(user_id).log, question).await
    }
}

fn page_size(asked: u32) -> u32 {
    if asked == 0 { PAGE_SIZE_DEFAULT } else { asked }
}

/// One more than the page tells whether there is another page.
fn first_page(user_id: u64, size: u32) -> PageQuery {
    PageQuery { user_id, limit: size + 1, ..PageQuery::default() }
}

/// Cuts a list to its page, and gives the token of the next one if there is one.
fn cut<T, const N: usize>(list: &mut Vec<T>, size: u32, position: impl Fn(&T) -> [u64; N]) -> String {
    let more = list.len() > size as usize;
    list.truncate(size as usize);
    list.last().filter(|_| more).map(|last| position_token::encode(position(last))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_given_while_there_is_more() {
        let page = |found: &[u64]| {
            let mut list = found.to_vec();
            let token = cut(&mut list, 2, |id| [5, *id]);
            (list, token)
        };
        assert_eq!(page(&[]), (vec![], String::new()));
        assert_eq!(page(&[9, 8]), (vec![9, 8], String::new()));
        assert_eq!(page(&[9, 8, 7]), (vec![9, 8], "5.8".to_owned()));
    }
}
