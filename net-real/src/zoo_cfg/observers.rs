//! Observers: who is one, and what they are told.

use std::path::Path;

use zebu_core::config::{Config, Ensemble, MemberRole, parse_port};
use zebu_core::ids::ServerId;

use super::{Properties, Reader};

impl Reader {
    // ZK: QuorumPeerConfig.setupPeerType (3.9)
    pub(super) fn check_peer_type(
        &mut self,
        keys: &Properties,
        ensemble: &Ensemble,
        my_id: ServerId,
    ) {
        let Some(property) = keys.get("peerType") else { return };
        match MemberRole::parse(&property.value) {
            Ok(role) => {
                let listed = ensemble.role_of(my_id);
                if role != listed {
                    let name = |role| match role {
                        MemberRole::Participant => "participant",
                        MemberRole::Observer => "observer",
                    };
                    let what = format!(
                        "peerType={} is overruled by server.{my_id}, which is a {}",
                        name(role),
                        name(listed)
                    );
                    self.warn(&property.file, property.line, what);
                }
            }
            Err(what) => self.error(&property.file, property.line, format!("peerType: {what}")),
        }
    }

    /// Who observes needs somebody who takes part, and more than one of them unless a server alone is
    /// an ensemble.
    // ZK: QuorumPeerConfig.parseDynamicConfig (3.9)
    pub(super) fn check_participants(
        &mut self,
        path: &Path,
        keys: &Properties,
        ensemble: &Ensemble,
    ) {
        let observers = ensemble.members.len() - ensemble.voters().count();
        match ensemble.voters().count() {
            0 if !ensemble.members.is_empty() => {
                self.error(path, 0, "expected at least one server.N that is a participant");
            }
            1 if observers > 0 && self.flag(keys, "standaloneEnabled") != Some(false) => {
                let what = "observers of one participant need standaloneEnabled=false: as a server \
                            alone it has no quorum port";
                self.error(path, 0, what);
            }
            _ => {}
        }
    }

    // ZK: QuorumPeerConfig.parseProperties, Observer, QuorumPeer.getSyncEnabled, LearnerMaster (3.9)
    pub(super) fn observers(&mut self, keys: &Properties, config: &mut Config) {
        if let Some(most) = self.millis(keys, "observer.election.DelayMs", 0) {
            config.observers.election_delay_max = most;
        }
        if let Some(most) = self.millis(keys, "observer.reconnectDelayMs", 0) {
            config.observers.reconnect_delay_max = most;
        }
        if let Some(port) = keys.get("observerMasterPort").filter(|port| port.value != "0") {
            match parse_port("a port", &port.value) {
                Ok(number) => config.observers.master_port = Some(number),
                Err(what) => {
                    let what = format!("observerMasterPort: {what}");
                    self.error(&port.file, port.line, what);
                }
            }
        }
        let keep_log = self.flag(keys, "syncEnabled");
        let keep_log = self.flag(keys, "observer.syncEnabled").or(keep_log);
        config.observers.keep_log = keep_log.unwrap_or(true);
        let most = &mut config.observers.syncs_max;
        if let Some(snaps) = self.number(keys, "leader.maxConcurrentSnapSyncs", 1) {
            most.snaps = snaps;
        }
        if let Some(diffs) = self.number(keys, "leader.maxConcurrentDiffSyncs", 1) {
            most.diffs = diffs;
        }
    }
}
