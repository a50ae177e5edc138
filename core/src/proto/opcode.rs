//! What a client may ask, by number (upstream: `ZooDefs.OpCode`).

use serde::{Deserialize, Serialize};

macro_rules! opcodes {
    ($($name:ident = $number:literal, $upstream:literal;)*) => {
        /// One variant for each opcode of ZooKeeper 3.9, whether this server carries it out yet or not.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum OpCode { $($name),* }

        impl OpCode {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub const fn number(self) -> i32 {
                match self { $(Self::$name => $number),* }
            }
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
            /// Upstream's spelling.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $upstream),* }
            }
        }
    };
}

opcodes! {
    CloseSession = -11, "closeSession";
    CreateSession = -10, "createSession";
    Create = 1, "create";
    Delete = 2, "delete";
    Exists = 3, "exists";
    GetData = 4, "getData";
    SetData = 5, "setData";
    GetAcl = 6, "getACL";
    SetAcl = 7, "setACL";
    GetChildren = 8, "getChildren";
    Sync = 9, "sync";
    Ping = 11, "ping";
    GetChildren2 = 12, "getChildren2";
    Check = 13, "check";
    Multi = 14, "multi";
    Create2 = 15, "create2";
    Reconfig = 16, "reconfig";
    CheckWatches = 17, "checkWatches";
    RemoveWatches = 18, "removeWatches";
    CreateContainer = 19, "createContainer";
    DeleteContainer = 20, "deleteContainer";
    CreateTtl = 21, "createTTL";
    MultiRead = 22, "multiRead";
    Auth = 100, "auth";
    SetWatches = 101, "setWatches";
    Sasl = 102, "sasl";
    GetEphemerals = 103, "getEphemerals";
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    SetWatches2 = 105, "setWatches2";
    AddWatch = 106, "addWatch";
    WhoAmI = 107, "whoAmI";
}
