//! Who is in the ensemble while that changes: the configuration that is committed, and beside it one
//! that is proposed and not known to be committed. While there are two, a quorum is one of both. What
//! is proposed to others only is heard of: whom it adds may be elected, and nobody in it counts.
//!
//! A reconfiguration is a transaction, so what is proposed is what the log says last; the version of
//! a configuration is the zxid of its transaction. Without `reconfigEnabled` there is one
//! configuration, that of the file, for ever.
//!
// ZK: QuorumPeer.getQuorumVerifier (committed), getLastSeenQuorumVerifier (proposed) (3.9)

use alloc::string::String;

use crate::config::{Config, Ensemble, Member, MemberRole};
use crate::ids::{Epoch, ServerId, Zxid};
use crate::mutant::Mutant;
use crate::tree::Database;
use crate::txn::TxnBody;
use crate::zab::quorum::is_quorum;

/// Where the tree shows who is in the ensemble.
pub(crate) const CONFIG_NODE: &str = "/zookeeper/config";

#[derive(Clone, Debug)]
pub(crate) struct Membership {
    me: ServerId,
    /// `reconfigEnabled`.
    dynamic: bool,
    /// `standaloneEnabled`.
    standalone: bool,
    committed: Ensemble,
    /// Its version is larger than the committed one's.
    proposed: Option<Ensemble>,
    /// What was in force before the one that is committed, if that was taken for committed because
    /// another one is proposed behind it.
    outdated: Option<Ensemble>,
    /// What is proposed to another server and not to us, as that one says.
    heard: Option<Ensemble>,
}

impl Membership {
    /// What the configuration file says is committed. What the log of this disk says last may be.
    pub(crate) fn recovered(config: &Config, database: &Database) -> Self {
        let mut membership = Self {
            me: config.my_id,
            dynamic: config.reconfig.enabled,
            standalone: config.reconfig.standalone,
            committed: config.ensemble.clone(),
            proposed: None,
            outdated: None,
            heard: None,
        };
        membership.see(database);
        membership
    }

    /// The state was replaced, or read back from disk: what it says last is proposed, unless something
    /// later was logged since.
    pub(crate) fn see(&mut self, database: &Database) {
        if !self.dynamic {
            return;
        }
        let text = database.tree.get(CONFIG_NODE).and_then(|node| node.data.cloned());
        let shown = text.and_then(|text| parse(&text).ok());
        if let Some(shown) = shown.filter(|shown| shown.version > self.newest().version) {
            self.proposed = Some(shown);
        }
    }
    /// The log is cut behind `after`: what was proposed there was not, as far as anybody knows.
    pub(crate) fn cut(&mut self, after: Zxid) {
        self.proposed.take_if(|next| next.version > after.0);
    }

    /// Does somebody who has `version` know more than we?
    // ZK: LearnerHandler.run (3.9)
    pub(crate) fn is_behind(&self, version: i64) -> bool {
        self.dynamic && version > self.committed.version as i64
    }
    pub(crate) fn is_dynamic(&self) -> bool {
        self.dynamic
    }
    /// What everybody is told.
    pub(crate) fn committed(&self) -> &Ensemble {
        &self.committed
    }
    pub(crate) fn proposed(&self) -> Option<&Ensemble> {
        self.proposed.as_ref()
    }
    /// What a new leader's learners are to have in common with it.
    pub(crate) fn newest(&self) -> &Ensemble {
        self.proposed.as_ref().unwrap_or(&self.committed)
    }

    /// Is this a server by itself, as people see it? (To core it is an ensemble of one.)
    pub(crate) fn is_alone(&self) -> bool {
        self.committed.is_alone() && (self.standalone || !self.dynamic)
    }

    // ---- who counts ----

    /// Does `agrees` hold for a quorum of every configuration in force?
    pub(crate) fn is_quorum(&self, mut agrees: impl FnMut(ServerId) -> bool) -> bool {
        is_quorum(&self.committed, &mut agrees)
            && self.proposed.as_ref().is_none_or(|next| is_quorum(next, &mut agrees))
    }
    /// The same for the transaction at `zxid`: what came before a reconfiguration needs nobody new.
    // ZK: Leader.propose: Proposal.addQuorumVerifier (3.9)
    pub(crate) fn is_quorum_for(
        &self,
        zxid: Zxid,
        mut agrees: impl FnMut(ServerId) -> bool,
    ) -> bool {
        let next = self.proposed.as_ref().filter(|next| next.version <= zxid.0);
        is_quorum(&self.committed, &mut agrees)
            && next.is_none_or(|next| is_quorum(next, &mut agrees))
    }
    /// Whoever votes in any configuration in force; twice, who does in both.
    pub(crate) fn voters(&self) -> impl Iterator<Item = ServerId> {
        self.configurations().flat_map(Ensemble::voters)
    }
    pub(crate) fn is_voter(&self, id: ServerId) -> bool {
        self.configurations().any(|ensemble| ensemble.is_voter(id))
    }
    /// Does its word weigh anything?
    pub(crate) fn has_say(&self, id: ServerId) -> bool {
        self.configurations().any(|ensemble| ensemble.has_say(id))
    }
    /// Can it be elected, if only by those who know of it?
    pub(crate) fn may_lead(&self, id: ServerId) -> bool {
        self.has_say(id) || self.heard().is_some_and(|ensemble| ensemble.has_say(id))
    }
    /// Where it is, in the newest configuration that knows it.
    pub(crate) fn member(&self, id: ServerId) -> Option<&Member> {
        let mut known = self.configurations().filter_map(|ensemble| ensemble.members.get(&id));
        known.next_back()
    }
    pub(crate) fn is_member(&self, id: ServerId) -> bool {
        self.member(id).is_some()
    }
    /// The same for those too who are only heard of.
    pub(crate) fn find(&self, id: ServerId) -> Option<&Member> {
        self.member(id).or_else(|| self.heard()?.members.get(&id))
    }
    /// Voters of a configuration that is proposed to others.
    pub(crate) fn heard_of(&self) -> impl Iterator<Item = ServerId> {
        self.heard().into_iter().flat_map(Ensemble::voters)
    }
    /// May it be voted for?
    pub(crate) fn is_candidate(&self, id: ServerId) -> bool {
        self.is_voter(id) || self.heard().is_some_and(|ensemble| ensemble.is_voter(id))
    }
    pub(crate) fn observers(&self) -> impl Iterator<Item = ServerId> {
        let members = self.configurations().flat_map(|ensemble| &ensemble.members);
        members.filter(|(_, member)| member.role == MemberRole::Observer).map(|(id, _)| *id)
    }
    /// As what this server takes part.
    pub(crate) fn role(&self) -> MemberRole {
        self.committed.role_of(self.me)
    }
    fn heard(&self) -> Option<&Ensemble> {
        self.heard.as_ref().filter(|heard| heard.version > self.newest().version)
    }
    fn configurations(&self) -> impl DoubleEndedIterator<Item = &Ensemble> {
        core::iter::once(&self.committed).chain(&self.proposed)
    }

    // ---- how it changes ----

    /// A transaction is being logged here; if it is a reconfiguration, that is proposed now. Then the
    /// one before it is committed: no leader has two of them under way.
    /// Is it one?
    pub(crate) fn propose(&mut self, body: &TxnBody) -> bool {
        let next = ensemble_of(body).filter(|next| self.dynamic && self.is_news(next));
        let Some(next) = next else { return false };
        let before = self.proposed.take_if(|before| before.version < next.version);
        if let Some(before) = before {
            let outdated = core::mem::replace(&mut self.committed, before);
            self.outdated.get_or_insert(outdated);
        }
        self.proposed = Some(next);
        true
    }
    /// A leader that begins its epoch says what its learners are to have. It knows better than our log,
    /// of which some may just have been cut.
    // ZK: Learner.syncWithLeader: case NEWLEADER (3.9)
    pub(crate) fn told(&mut self, text: &[u8]) {
        if self.dynamic
            && text.len() > 1
            && let Ok(next) = parse(text)
        {
            self.proposed = Some(next);
            self.heard = None;
            self.forget_old();
        }
    }
    /// The first leader of an ensemble that was never reconfigured gives its configuration a version.
    // ZK: Leader.lead (3.9)
    pub(crate) fn name(&mut self, epoch: Epoch) {
        if self.dynamic && self.newest().version == 0 {
            let version = Zxid::start_of(epoch).0;
            self.proposed = Some(Ensemble { version, ..self.committed.clone() });
        }
    }
    /// The reconfiguration at `version`, or a whole history up to there, is committed. Returns what was
    /// in force until now, if that is another one.
    pub(crate) fn commit(&mut self, version: u64) -> Option<Ensemble> {
        let outdated = self.outdated.take();
        match self.proposed.take_if(|next| next.version <= version) {
            Some(next) => {
                let before = core::mem::replace(&mut self.committed, next);
                Some(outdated.unwrap_or(before))
            }
            None => outdated,
        }
    }
    /// Another server knows of a later configuration that is committed. Who looks for a leader takes
    /// it over, or it might look among those who are gone.
    // ZK: FastLeaderElection.Messenger.WorkerReceiver (3.9)
    pub(crate) fn adopt(&mut self, text: &[u8], config: &Config) -> bool {
        if !self.dynamic {
            return false;
        }
        let Ok(theirs) = parse(text) else { return false };
        let older = theirs.version < self.committed.version;
        if theirs.version == self.committed.version
            || older && !config.planted(Mutant::ConfigOlderWins)
        {
            return false;
        }
        self.committed = theirs;
        self.forget_old();
        true
    }
    /// A member says what is proposed to it. Nobody counts for that. But whom it adds may have the newest
    /// history, and be the only one who can lead: then its votes count for it, and here is where it is.
    // Departs: upstream's servers cannot vote for it, and there is no leader until another one comes back
    // whose log has the reconfiguration.
    pub(crate) fn hear(&mut self, text: &[u8]) {
        if self.dynamic
            && !text.is_empty()
            && let Ok(theirs) = parse(text)
            && self.heard.as_ref().is_none_or(|heard| heard.version < theirs.version)
        {
            self.heard = Some(theirs);
        }
    }
    /// Does somebody who takes this for committed have something to hear from us?
    pub(crate) fn is_later_than(&self, text: &[u8]) -> bool {
        self.dynamic && parse(text).is_ok_and(|theirs| theirs.version < self.committed.version)
    }
    fn is_news(&self, ensemble: &Ensemble) -> bool {
        ensemble.version > self.committed.version
    }
    fn forget_old(&mut self) {
        let version = self.committed.version;
        self.proposed.take_if(|next| next.version <= version);
    }
}

/// The configuration that a transaction proposes.
pub(crate) fn ensemble_of(body: &TxnBody) -> Option<Ensemble> {
    let TxnBody::Reconfig { data: Some(text), .. } = body else { return None };
    parse(text).ok()
}

fn parse(text: &[u8]) -> Result<Ensemble, String> {
    let text = core::str::from_utf8(text).map_err(|_| String::from("expected UTF-8"))?;
    Ensemble::parse(text)
}
