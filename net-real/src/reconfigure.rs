//! What a reconfiguration means to the process: files for the next start, ports at other addresses.
//! Where strangers are who want to join is kept here too. What it means to the ensemble is core's.

use std::collections::BTreeMap;

use tracing::{error, info};

use zebu_core::config::{Ensemble, MemberRole};
use zebu_core::ids::ServerId;
use zebu_core::server::Port;

use crate::listeners::{Expected, Listeners};
use crate::settings::{Address, ServerSettings};

/// Servers that nobody has told us of and whose addresses are remembered.
const STRANGERS_MAX: usize = 64;

/// Where servers said that they are which are in no configuration yet: those with smaller ids are
/// called back.
// ZK: QuorumCnxManager.receiveConnection: sid, electionAddr (3.9)
#[derive(Debug, Default)]
pub(crate) struct Strangers(BTreeMap<ServerId, Address>);

impl Strangers {
    pub(crate) fn are_at(&mut self, id: ServerId, address: Address) {
        if self.0.len() < STRANGERS_MAX || self.0.contains_key(&id) {
            self.0.insert(id, address);
        }
    }
    /// Where to find the election port of `id`.
    pub(crate) fn election_port(&self, id: ServerId) -> Option<Address> {
        self.0.get(&id).cloned()
    }
}

/// Takes over what core says is in force now.
pub(crate) fn reconfigure(
    committed: &Ensemble,
    proposed: Option<&Ensemble>,
    settings: &ServerSettings,
    listeners: &mut Listeners,
) {
    let me = settings.config.my_id;
    if let Some(files) = &settings.config_files {
        let written = match proposed {
            Some(next) => files.propose(next),
            None => files.commit(committed, me),
        };
        // The log has it too: the next start asks there, and its peers.
        if let Err(error) = written {
            error!("cannot write the configuration of version {:x}: {error}", committed.version);
        }
    }
    if proposed.is_some() {
        return;
    }
    info!("the ensemble is now, as of version {:x}:\n{}", committed.version, committed.text());
    let Some(member) = committed.members.get(&me) else { return };
    let at = |port: u16| {
        let host = if settings.listens_everywhere { "0.0.0.0" } else { member.host.as_str() };
        Some(Address::new(host, port))
    };
    let leads = member.role == MemberRole::Participant;
    listeners.listen_at(Expected::Peers(Port::Election), at(member.election_port));
    let quorum = if leads { at(member.quorum_port) } else { None };
    listeners.listen_at(Expected::Peers(Port::Quorum), quorum);
    let of_masters = settings.config.observers.master_port.filter(|_| leads).and_then(at);
    listeners.listen_at(Expected::Peers(Port::ObserverMaster), of_masters);
    if let Some((host, port)) = &member.client {
        listeners.listen_at(Expected::Clients, Some(Address::new(host.clone(), *port)));
    }
}
