//! About how many bytes a message keeps alive while it waits to be sent, or takes on the wire: what
//! bounds on unread answers are counted in. Payloads may be shared with the tree; they count in full.

use alloc::string::String;

use super::{ClientMessage, MultiResult, Response};

impl ClientMessage {
    pub fn weight(&self) -> usize {
        let body = match self {
            Self::Connected(_) => 0,
            Self::Text(text) => text.len(),
            Self::Event { event, .. } => event.path.len(),
            Self::Reply { result: Err(_), .. } | Self::LoginRefused { .. } => 0,
            Self::Reply { result: Ok(response), .. } => response.weight(),
        };
        size_of::<Self>() + body
    }
}

impl Response {
    fn weight(&self) -> usize {
        match self {
            Self::Empty | Self::WatchAdded | Self::Stat(_) | Self::Count(_) => 0,
            Self::Path(path) | Self::PathStat { path, .. } => path.len(),
            Self::Data { data, .. } | Self::Sasl { token: data } => {
                data.as_ref().map_or(0, |data| data.len())
            }
            Self::Acl { acl, .. } => {
                acl.iter().map(|acl| 16 + acl.id.scheme.len() + acl.id.id.len()).sum()
            }
            Self::Children(names)
            | Self::Children2 { children: names, .. }
            | Self::Ephemerals(names) => names_weight(names),
            Self::Identities(ids) => ids.iter().map(|id| 48 + id.scheme.len() + id.id.len()).sum(),
            Self::Multi(results) => results.iter().map(MultiResult::weight).sum(),
        }
    }
}

impl MultiResult {
    pub fn weight(&self) -> usize {
        const EACH: usize = size_of::<MultiResult>();
        match self {
            Self::Create { path } | Self::Create2 { path, .. } => EACH + path.len(),
            Self::Data { data, .. } => EACH + data.as_ref().map_or(0, |data| data.len()),
            Self::Children(names) => EACH + names_weight(names),
            Self::Delete | Self::SetData { .. } | Self::Check | Self::Error(_) => EACH,
        }
    }
}

fn names_weight(names: &[String]) -> usize {
    names.iter().map(|name| 24 + name.len()).sum()
}
