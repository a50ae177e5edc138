//! Results that a client can see (upstream: `KeeperException.Code`). Faults of a peer or of a
//! connection are not in here; they close it.

use serde::{Deserialize, Serialize};

/// A number of upstream's `KeeperException.Code`; any other number is carried as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($name:ident = $number:literal;)*) => {
        impl ErrorCode {
            $(pub const $name: Self = Self($number);)*

            /// Upstream's name, or `None` for a number it does not define.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

codes! {
    OK = 0;
    SYSTEM_ERROR = -1;
    RUNTIME_INCONSISTENCY = -2;
    DATA_INCONSISTENCY = -3;
    CONNECTION_LOSS = -4;
    MARSHALLING_ERROR = -5;
    UNIMPLEMENTED = -6;
    OPERATION_TIMEOUT = -7;
    BAD_ARGUMENTS = -8;
    UNKNOWN_SESSION = -12;
    NEW_CONFIG_NO_QUORUM = -13;
    RECONFIG_IN_PROGRESS = -14;
    API_ERROR = -100;
    NO_NODE = -101;
    NO_AUTH = -102;
    BAD_VERSION = -103;
    NO_CHILDREN_FOR_EPHEMERALS = -108;
    NODE_EXISTS = -110;
    NOT_EMPTY = -111;
    SESSION_EXPIRED = -112;
    INVALID_CALLBACK = -113;
    INVALID_ACL = -114;
    AUTH_FAILED = -115;
    SESSION_MOVED = -118;
    NOT_READ_ONLY = -119;
    EPHEMERAL_ON_LOCAL_SESSION = -120;
    NO_WATCHER = -121;
    REQUEST_TIMEOUT = -122;
    RECONFIG_DISABLED = -123;
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124;
    QUOTA_EXCEEDED = -125;
    THROTTLED_OP = -127;
}

impl core::fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "error {}", self.0),
        }
    }
}
impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}
