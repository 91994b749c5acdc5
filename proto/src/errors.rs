//! The one table of refusals: number, name, gRPC status, message. `docs/ERRORS.md` is generated from it.
//!
//! Numbers and names are API: they never change meaning and are never used twice.

use crate::v1::Refusal;

/// `domain` of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "emshop";

/// Status codes of gRPC, by their numbers in the protocol: those that refusals have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub enum Grpc {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

macro_rules! table {
    ($(($number:literal, $variant:ident, $name:literal, $grpc:ident, $message:literal),)+) => {
        /// A refusal's stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum Code {
            $(#[doc = $message] $variant = $number,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name: `reason` of `google.rpc.ErrorInfo`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The status that a unary call ends with.
            pub fn grpc(self) -> Grpc {
                match self { $(Self::$variant => Grpc::$grpc,)+ }
            }

            /// What it says to people.
            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)+ }
            }

            /// The code of a number; `None` when a newer release gave it out.
            pub fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

table! {
    // Base, goods and inventory.
    (100002, Unknown, "UNKNOWN", Internal, "Internal error"),
    (100004, ValidationFailed, "VALIDATION_FAILED", InvalidArgument, "The request is not acceptable; see the field violations"),
    (100005, TokenInvalid, "TOKEN_INVALID", Unauthenticated, "The token is not valid"),
    (100202, SignatureInvalid, "SIGNATURE_INVALID", Unauthenticated, "The signature is not valid"),
    (100203, TokenExpired, "TOKEN_EXPIRED", Unauthenticated, "The token has expired"),
    (100204, AuthHeaderInvalid, "AUTH_HEADER_INVALID", Unauthenticated, "The authorization header is not `Bearer <token>`"),
    (100205, AuthHeaderMissing, "AUTH_HEADER_MISSING", Unauthenticated, "The authorization header is missing"),
    (100206, TokenRevoked, "TOKEN_REVOKED", Unauthenticated, "The token was revoked; log in again"),
    (100207, PermissionDenied, "PERMISSION_DENIED", PermissionDenied, "Permission denied"),
    (100208, MethodUnknown, "METHOD_UNKNOWN", Unimplemented, "There is no such method"),
    (100209, RoleNotMapped, "ROLE_NOT_MAPPED", PermissionDenied, "The issuer of the token gives its subject no role of the staff here"),
    (100210, IssuerUnavailable, "ISSUER_UNAVAILABLE", Unavailable, "The keys of the token's issuer are not known yet; try again later"),
    // Users.
    (100401, UserNotFound, "USER_NOT_FOUND", NotFound, "User not found"),
    (100402, UserAlreadyExists, "USER_ALREADY_EXISTS", AlreadyExists, "The mobile number belongs to a user already"),
    (100403, PasswordIncorrect, "PASSWORD_INCORRECT", Unauthenticated, "Mobile number or password incorrect"),
    (100404, SmsSendFailed, "SMS_SEND_FAILED", Unavailable, "The SMS could not be sent"),
    (100405, SmsCodeNotFound, "SMS_CODE_NOT_FOUND", FailedPrecondition, "There is no such code, or it has expired or was used"),
    (100406, SmsCodeIncorrect, "SMS_CODE_INCORRECT", FailedPrecondition, "The code is not the one that was sent"),
    (100407, EncryptionFailed, "ENCRYPTION_FAILED", Internal, "The password could not be hashed"),
    // Goods and catalogue.
    (100501, GoodsNotFound, "GOODS_NOT_FOUND", NotFound, "Goods not found"),
    (100502, CategoryNotFound, "CATEGORY_NOT_FOUND", NotFound, "Category not found"),
    (100503, BrandNotFound, "BRAND_NOT_FOUND", NotFound, "Brand not found"),
    (100504, BannerNotFound, "BANNER_NOT_FOUND", NotFound, "Banner not found"),
    (100505, CategoryBrandNotFound, "CATEGORY_BRAND_NOT_FOUND", NotFound, "The category does not carry the brand"),
    (100506, SearchFailed, "SEARCH_FAILED", Internal, "The search index could not be read"),
    (100508, CategoryHasChildren, "CATEGORY_HAS_CHILDREN", FailedPrecondition, "The category has children"),
    // Inventory and cart.
    (100601, InventoryNotFound, "INVENTORY_NOT_FOUND", NotFound, "No stock entry for this SKU"),
    (100603, StockInsufficient, "STOCK_INSUFFICIENT", FailedPrecondition, "Not enough stock"),
    (100701, CartItemNotFound, "CART_ITEM_NOT_FOUND", NotFound, "The goods are not in the cart"),
    (100703, NoGoodsSelected, "NO_GOODS_SELECTED", FailedPrecondition, "Nothing in the cart is selected"),
    // Payment and stock reservation.
    (100901, PaymentNotFound, "PAYMENT_NOT_FOUND", NotFound, "Payment not found"),
    (100902, PaymentExists, "PAYMENT_EXISTS", AlreadyExists, "Payment already exists"),
    (100903, PaymentStatusInvalid, "PAYMENT_STATUS_INVALID", FailedPrecondition, "The payment's status does not allow this"),
    (100904, PaymentAmountInvalid, "PAYMENT_AMOUNT_INVALID", InvalidArgument, "The amount is not acceptable for this payment"),
    (100905, PaymentMethodInvalid, "PAYMENT_METHOD_INVALID", InvalidArgument, "Payment method invalid"),
    (100906, PaymentExpired, "PAYMENT_EXPIRED", FailedPrecondition, "Payment expired"),
    (110101, CreatePaymentFailed, "CREATE_PAYMENT_FAILED", Internal, "Payment could not be created"),
    (110102, PaymentAlreadyPaid, "PAYMENT_ALREADY_PAID", FailedPrecondition, "Payment already paid"),
    (110103, PaymentAlreadyCancelled, "PAYMENT_ALREADY_CANCELLED", FailedPrecondition, "Payment already cancelled"),
    (110104, PaymentCannotCancel, "PAYMENT_CANNOT_CANCEL", FailedPrecondition, "Payment cannot be cancelled"),
    (110105, PaymentUpdateFailed, "PAYMENT_UPDATE_FAILED", Internal, "Payment could not be updated"),
    (110201, PaymentProcessFailed, "PAYMENT_PROCESS_FAILED", Internal, "Payment could not be processed"),
    (110202, PaymentConfirmFailed, "PAYMENT_CONFIRM_FAILED", Internal, "Payment could not be confirmed"),
    (110203, PaymentRefundFailed, "PAYMENT_REFUND_FAILED", Internal, "Payment could not be refunded"),
    (110204, PaymentCallbackInvalid, "PAYMENT_CALLBACK_INVALID", InvalidArgument, "Payment callback invalid"),
    (110301, StockReservationFailed, "STOCK_RESERVATION_FAILED", Internal, "Stock could not be reserved"),
    (110302, StockReservationNotFound, "STOCK_RESERVATION_NOT_FOUND", NotFound, "Stock reservation not found"),
    (110303, StockReleaseFailed, "STOCK_RELEASE_FAILED", FailedPrecondition, "The reservation cannot be released any more"),
    (110304, StockConfirmFailed, "STOCK_CONFIRM_FAILED", FailedPrecondition, "The reservation cannot be confirmed any more"),
    (110305, StockInsufficientForReservation, "STOCK_INSUFFICIENT_FOR_RESERVATION", FailedPrecondition, "Not enough stock to reserve"),
    // Logistics.
    (1001001, LogisticsOrderNotFound, "LOGISTICS_ORDER_NOT_FOUND", NotFound, "Logistics order not found"),
    (1001002, LogisticsOrderExists, "LOGISTICS_ORDER_EXISTS", AlreadyExists, "Logistics order already exists"),
    (1001003, CreateLogisticsOrderFailed, "CREATE_LOGISTICS_ORDER_FAILED", Internal, "Logistics order could not be created"),
    (1001004, LogisticsOrderStatusInvalid, "LOGISTICS_ORDER_STATUS_INVALID", FailedPrecondition, "The logistics order's status does not allow this"),
    (1001005, LogisticsOrderCannotCancel, "LOGISTICS_ORDER_CANNOT_CANCEL", FailedPrecondition, "Logistics order cannot be cancelled"),
    (1001006, LogisticsOrderCannotUpdate, "LOGISTICS_ORDER_CANNOT_UPDATE", FailedPrecondition, "Logistics order cannot be updated"),
    (1001007, LogisticsTrackNotFound, "LOGISTICS_TRACK_NOT_FOUND", NotFound, "Logistics track not found"),
    (1001008, CreateLogisticsTrackFailed, "CREATE_LOGISTICS_TRACK_FAILED", Internal, "Logistics track could not be created"),
    (1001009, LogisticsTrackInvalid, "LOGISTICS_TRACK_INVALID", InvalidArgument, "Logistics track invalid"),
    (1001010, LogisticsCourierNotFound, "LOGISTICS_COURIER_NOT_FOUND", NotFound, "Courier not found"),
    (1001011, LogisticsCourierExists, "LOGISTICS_COURIER_EXISTS", AlreadyExists, "Courier already exists"),
    (1001012, LogisticsCourierUnavailable, "LOGISTICS_COURIER_UNAVAILABLE", Unavailable, "Courier unavailable"),
    (1001013, ShippingFeeCalculationFailed, "SHIPPING_FEE_CALCULATION_FAILED", Internal, "Shipping fee could not be calculated"),
    (1001014, InvalidShippingAddress, "INVALID_SHIPPING_ADDRESS", InvalidArgument, "Shipping address invalid"),
    (1001015, InvalidShippingMethod, "INVALID_SHIPPING_METHOD", InvalidArgument, "Shipping method invalid"),
    (1001016, InvalidGoodsWeight, "INVALID_GOODS_WEIGHT", InvalidArgument, "Goods weight invalid"),
    (1001017, LogisticsStatusTransitionInvalid, "LOGISTICS_STATUS_TRANSITION_INVALID", FailedPrecondition, "The logistics order cannot go from its status to that one"),
    (1001018, LogisticsAlreadyShipped, "LOGISTICS_ALREADY_SHIPPED", FailedPrecondition, "Logistics order already shipped"),
    (1001019, LogisticsAlreadyDelivered, "LOGISTICS_ALREADY_DELIVERED", FailedPrecondition, "Logistics order already delivered"),
    (1001020, LogisticsNotShipped, "LOGISTICS_NOT_SHIPPED", FailedPrecondition, "Logistics order not shipped yet"),
    (1001021, LogisticsCompanyNotSupported, "LOGISTICS_COMPANY_NOT_SUPPORTED", InvalidArgument, "Logistics company not supported"),
    (1001022, LogisticsCompanyServiceUnavailable, "LOGISTICS_COMPANY_SERVICE_UNAVAILABLE", Unavailable, "Service of the logistics company unavailable"),
    (1001023, LogisticsServiceUnavailable, "LOGISTICS_SERVICE_UNAVAILABLE", Unavailable, "Logistics service unavailable"),
    (1001024, LogisticsDataIntegrityError, "LOGISTICS_DATA_INTEGRITY_ERROR", Internal, "Logistics data inconsistent"),
    (1001025, LogisticsOperationTimeout, "LOGISTICS_OPERATION_TIMEOUT", DeadlineExceeded, "Logistics operation timed out"),
    (1001026, LogisticsCancelFailed, "LOGISTICS_CANCEL_FAILED", Internal, "Logistics order could not be cancelled"),
    (1001027, LogisticsOrderUpdateFailed, "LOGISTICS_ORDER_UPDATE_FAILED", Internal, "Logistics order could not be updated"),
    // Orders, and what a pipeline adds.
    (120001, IdempotencyKeyReused, "IDEMPOTENCY_KEY_REUSED", AlreadyExists, "The same key was used before with another body"),
    (120002, OrderNotFound, "ORDER_NOT_FOUND", NotFound, "Order not found"),
    (120003, OrderStatusInvalid, "ORDER_STATUS_INVALID", FailedPrecondition, "The order's status does not allow this"),
    (120004, OrderNotYours, "ORDER_NOT_YOURS", PermissionDenied, "The order belongs to another user"),
    (120005, OrderInProgress, "ORDER_IN_PROGRESS", Aborted, "A saga of the order is still running; try again"),
    (120006, PriceChanged, "PRICE_CHANGED", FailedPrecondition, "The total is not the expected one"),
    (120007, CurrencyMismatch, "CURRENCY_MISMATCH", FailedPrecondition, "The currencies do not match"),
    (120008, TotalTooLarge, "TOTAL_TOO_LARGE", InvalidArgument, "The total does not fit"),
    (120011, GoodsExists, "GOODS_EXISTS", AlreadyExists, "Other goods exist under this id"),
    (120012, GoodsOffSale, "GOODS_OFF_SALE", FailedPrecondition, "The goods are off sale"),
    (120013, GoodsInProgress, "GOODS_IN_PROGRESS", Aborted, "A change of the goods is still on its way; try again"),
    (120014, GoodsSnTaken, "GOODS_SN_TAKEN", AlreadyExists, "Other goods have this number"),
    (120015, CategoryExists, "CATEGORY_EXISTS", AlreadyExists, "Another category exists under this id"),
    (120016, CategoryLevelInvalid, "CATEGORY_LEVEL_INVALID", FailedPrecondition, "Categories have three levels"),
    (120017, CategoryInUse, "CATEGORY_IN_USE", FailedPrecondition, "Goods refer to the category"),
    (120018, BrandExists, "BRAND_EXISTS", AlreadyExists, "Another brand exists under this id"),
    (120019, BrandNameTaken, "BRAND_NAME_TAKEN", AlreadyExists, "Another brand has this name"),
    (120020, BrandInUse, "BRAND_IN_USE", FailedPrecondition, "Goods refer to the brand"),
    (120025, BannerExists, "BANNER_EXISTS", AlreadyExists, "Another banner exists under this id"),
    (120026, CatalogueFull, "CATALOGUE_FULL", FailedPrecondition, "The catalogue has no room for more of this kind"),
    (120021, StockBelowReserved, "STOCK_BELOW_RESERVED", FailedPrecondition, "The stock cannot be less than what is reserved"),
    (120022, StockTooLarge, "STOCK_TOO_LARGE", InvalidArgument, "The stock would be larger than a SKU may hold"),
    (120023, StockReservationReleased, "STOCK_RESERVATION_RELEASED", FailedPrecondition, "The business id was released before"),
    (120024, ReservationInProgress, "RESERVATION_IN_PROGRESS", Aborted, "The reservation is still on its way; try again"),
    // Carts, users and what is theirs.
    (120031, CartFull, "CART_FULL", FailedPrecondition, "The cart has no room for more"),
    (120032, CheckoutTooLarge, "CHECKOUT_TOO_LARGE", FailedPrecondition, "More is selected than one order may have"),
    (120033, UnpaidOrdersTooMany, "UNPAID_ORDERS_TOO_MANY", ResourceExhausted, "The user has as many unpaid orders as the shop allows"),
    (120034, OrderUnitsTooMany, "ORDER_UNITS_TOO_MANY", ResourceExhausted, "The order has more of a SKU than the shop allows in one"),
    (120035, UserUnitsTooMany, "USER_UNITS_TOO_MANY", ResourceExhausted, "The user would have more of a SKU than one user may have"),
    (120041, UserDisabled, "USER_DISABLED", PermissionDenied, "The user is disabled"),
    (120042, SmsTooOften, "SMS_TOO_OFTEN", ResourceExhausted, "Too many codes were sent to this number; try again later"),
    (120043, CaptchaIncorrect, "CAPTCHA_INCORRECT", FailedPrecondition, "The captcha was not read right, or has expired or was used"),
    (120044, VerificationMissing, "VERIFICATION_MISSING", Unimplemented, "This server sends no codes, or draws no captchas: its operator has set no provider"),
    (120045, RoleNotBelow, "ROLE_NOT_BELOW", PermissionDenied, "Nobody changes their own role or status, nor those of somebody whose role is not below theirs"),
    (120046, UserHasBalance, "USER_HAS_BALANCE", FailedPrecondition, "There is money in the user's balance: it is paid out first"),
    (120051, FavouriteNotFound, "FAVOURITE_NOT_FOUND", NotFound, "The goods are no favourite"),
    (120052, FavouritesFull, "FAVOURITES_FULL", FailedPrecondition, "There is no room for more favourites"),
    (120053, FavouriteInProgress, "FAVOURITE_IN_PROGRESS", Aborted, "The favourite is still on its way; try again"),
    (120054, AddressNotFound, "ADDRESS_NOT_FOUND", NotFound, "Address not found"),
    (120055, AddressesFull, "ADDRESSES_FULL", FailedPrecondition, "There is no room for more addresses"),
    // Balances, and payment tries of outside transaction managers.
    (120061, BalanceInsufficient, "BALANCE_INSUFFICIENT", FailedPrecondition, "The balance is not enough"),
    (120062, BalanceTooLarge, "BALANCE_TOO_LARGE", InvalidArgument, "The balance would be larger than a balance may be"),
    (120063, PaymentHoldNotFound, "PAYMENT_HOLD_NOT_FOUND", NotFound, "Nothing was tried under this business id"),
    (120064, PaymentHoldCancelled, "PAYMENT_HOLD_CANCELLED", FailedPrecondition, "The try was cancelled, or timed out"),
    (120065, PaymentHoldConfirmed, "PAYMENT_HOLD_CONFIRMED", FailedPrecondition, "The try was confirmed already"),
    // The pipeline itself.
    (120091, OutcomeUnknown, "OUTCOME_UNKNOWN", DeadlineExceeded, "The outcome is not known yet; ask again with the same key"),
    (120092, Overloaded, "OVERLOADED", ResourceExhausted, "Too much is under way; try again later"),
    (120093, ServiceUnavailable, "SERVICE_UNAVAILABLE", Unavailable, "The log or the engine cannot be reached; try again with the same key"),
    (120094, RateLimited, "RATE_LIMITED", ResourceExhausted, "Too many calls; try again later"),
}

impl Code {
    /// The stable number.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// A refusal with this code and no details.
    pub fn refusal(self) -> Refusal {
        Refusal {
            code: self.number(),
            reason: self.name().to_owned(),
            message: self.message().to_owned(),
            grpc_status: self.grpc() as i32,
            ..Refusal::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        let numbers: HashSet<_> = Code::ALL.iter().map(|code| code.number()).collect();
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
            assert_eq!(code.refusal().reason, code.name());
        }
        let seed = Code::ALL.iter().filter(|code| {
            let number = code.number();
            (100_901..=100_906).contains(&number) || (110_101..=110_305).contains(&number) || number > 1_001_000
        });
        assert_eq!(seed.count(), 47, "the payment and logistics codes that clients of the old system know");
    }
}
