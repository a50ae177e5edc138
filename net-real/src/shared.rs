//! What every task of one server shares: the inbox, the settings, and the numbers of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use zebu_core::ids::{ConnId, LinkId};

use crate::inbox::Inbox;
use crate::load::Load;
use crate::machine::ClientTraffic;
use crate::settings::ServerSettings;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) load: Arc<Load>,
    pub(crate) settings: ServerSettings,
    pub(crate) traffic: ClientTraffic,
    conns: AtomicU64,
    links: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: ServerSettings) -> Self {
        Self {
            inbox: Inbox::default(),
            load: Arc::new(Load::new(&settings.config)),
            settings,
            traffic: ClientTraffic::default(),
            conns: AtomicU64::new(1),
            links: AtomicU64::new(1),
        }
    }
    pub(crate) fn next_conn(&self) -> ConnId {
        ConnId(self.conns.fetch_add(1, Relaxed))
    }
    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Relaxed))
    }
}
